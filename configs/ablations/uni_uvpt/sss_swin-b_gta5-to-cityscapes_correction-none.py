"""Ablation: no label correction: the pseudo labels as they were made.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=None)
