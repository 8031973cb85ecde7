"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/swin-nano_source.py',
    '../../_base_/rehearsal_pretrain.py',
]
