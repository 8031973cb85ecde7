# A ConvNeXt of the size of the demo's Swin. No ImageNet weights.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmConvNeXt',
        model='convnext_atto',
        dims=(32, 64, 128, 256),
        depths=(2, 2, 2, 2),
    ),
    decode_head=dict(in_channels=(32, 64, 128, 256), channels=32, dropout_ratio=0.0),
)
