"""Ablation: correction begins at a larger change of slope.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=dict(slope=0.99))
