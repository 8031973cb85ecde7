# Source model with Swin V2-B, which begins with weights of the hub.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmSwin',
        model='swinv2_base_window12to16_192to256.ms_in22k_ft_in1k',
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='timm/swinv2_base_window12to16_192to256.ms_in22k_ft_in1k',
        ),
    ),
    decode_head=dict(in_channels=(128, 256, 512, 1024)),
)
