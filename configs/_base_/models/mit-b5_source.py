# Source model with MiT-B5.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='StagedMiT',
        widths=(64, 128, 320, 512),
        depths=(3, 6, 40, 3),
        num_heads=(1, 2, 5, 8),
        reductions=(8, 4, 2, 1),
        mlp_ratio=4,
        drop_path_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint='model/mit_b5.pth'),
    ),
    decode_head=dict(in_channels=(64, 128, 320, 512)),
)
