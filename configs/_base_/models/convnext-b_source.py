# Source model with ConvNeXt-B, which begins with weights of the hub.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmConvNeXt',
        model='convnext_base.fb_in22k',
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='timm/convnext_base.fb_in22k',
        ),
    ),
    decode_head=dict(in_channels=(128, 256, 512, 1024)),
)
