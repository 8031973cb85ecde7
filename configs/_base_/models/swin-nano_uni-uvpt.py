# The demo's Swin with prompts.
_base_ = 'swin-b_uni-uvpt.py'

model = dict(
    backbone=dict(
        staged=dict(
            embed_dims=32,
            depths=(2, 2, 2, 2),
            num_heads=(2, 4, 8, 16),
            window_size=8,
            drop_path_rate=0.0,
        ),
        heads=4,
        generator_channels=16,
    ),
    decode_head=dict(in_channels=(32, 64, 128, 256), channels=32, dropout_ratio=0.0),
)
