# The demo's MiT with prompts.
_base_ = 'mit-b5_uni-uvpt.py'

model = dict(
    backbone=dict(
        staged=dict(
            widths=(32, 64, 160, 256),
            depths=(2, 2, 2, 2),
            num_heads=(1, 2, 5, 8),
            drop_path_rate=0.0,
        ),
        heads=4,
        generator_channels=16,
    ),
    decode_head=dict(in_channels=(32, 64, 160, 256), channels=32, dropout_ratio=0.0),
)
