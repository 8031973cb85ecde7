"""Ablation: correction begins at a smaller change of slope.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=dict(slope=0.90))
