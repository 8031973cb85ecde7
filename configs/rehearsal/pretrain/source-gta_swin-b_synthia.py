"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/swin-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
    '../../_base_/generalise.py',
]

model = dict(
    type='SourceGtA',
    data_preprocessor=_base_.generalising_preprocessor,
    decode_head=dict(loss_decode=_base_.generalising_loss),
)
train_dataloader = dict(
    collate_fn=dict(type='augmented_collate', augmentations=['fda_random']),
    dataset=dict(
        type='SynthiaDataset',
        data_root='data/synthia',
        data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
        pipeline=_base_.undistorted_pipeline,
    ),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
