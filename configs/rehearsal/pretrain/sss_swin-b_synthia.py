"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/swin-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
]

train_dataloader = dict(
    dataset=dict(
        type='SynthiaDataset',
        data_root='data/synthia',
        data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
    ),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU16'))
