# A PVT v2 of the size of the demo's MiT. No ImageNet weights.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(type='TimmPVT', model='pvt_v2_b0'),
    decode_head=dict(in_channels=(32, 64, 160, 256), channels=32, dropout_ratio=0.0),
)
