"""Stands in for the recipe of the same name, on MiniCity: `make rehearsal`."""

_base_ = [
    '../../_base_/models/mit-nano_uni-uvpt.py',
    '../../_base_/rehearsal_adapt.py',
]
