"""The demo's source model with Swin-nano, generalise-then-adapt; see tools/demo.py."""

_base_ = [
    '../_base_/models/swin-nano_source.py',
    '../_base_/demo_pretrain.py',
    '../_base_/generalise.py',
]

model = dict(
    type='SourceGtA',
    data_preprocessor=_base_.generalising_preprocessor,
    decode_head=dict(loss_decode=dict(class_weight=_base_.minicity_class_weight)),
)
train_dataloader = dict(
    collate_fn=dict(
        type='augmented_collate',
        augmentations=['fda_random', 'fda_style'],  # those that need no downloads
        style_dir='data/minicity/style',
    )
)
