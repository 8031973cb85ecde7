# Source model with Swin-B.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='StagedSwin',
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=7,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='model/swin_base_patch4_window7_224_20220317-e9b98025.pth',
        ),
    ),
    decode_head=dict(in_channels=(128, 256, 512, 1024)),
)
