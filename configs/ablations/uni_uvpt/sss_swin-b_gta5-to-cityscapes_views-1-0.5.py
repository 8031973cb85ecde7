"""Ablation: two views, without the large one.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(view_scales=[1.0, 0.5])
