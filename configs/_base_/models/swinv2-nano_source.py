# A Swin V2 of the size of the demo's Swin. No ImageNet weights.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmSwin',
        model='swinv2_tiny_window8_256',
        embed_dim=32,
        depths=(2, 2, 2, 2),
        num_heads=(2, 4, 8, 16),
    ),
    decode_head=dict(in_channels=(32, 64, 128, 256), channels=32, dropout_ratio=0.0),
)
