# A Swin of 2.5 M parameters, for the demo and the tests. No ImageNet weights.
_base_ = 'swin-b_source.py'

model = dict(
    backbone=dict(
        embed_dims=32,
        depths=(2, 2, 2, 2),
        num_heads=(2, 4, 8, 16),
        window_size=8,
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    decode_head=dict(in_channels=(32, 64, 128, 256), channels=32, dropout_ratio=0.0),
)
