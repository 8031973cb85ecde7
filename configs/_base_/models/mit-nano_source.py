# A MiT of the same size, for the demo and the tests. No ImageNet weights.
_base_ = 'mit-b5_source.py'

model = dict(
    backbone=dict(
        widths=(32, 64, 160, 256),
        depths=(2, 2, 2, 2),
        num_heads=(1, 2, 5, 8),
        drop_path_rate=0.0,
        init_cfg=None,
    ),
    decode_head=dict(in_channels=(32, 64, 160, 256), channels=32, dropout_ratio=0.0),
)
