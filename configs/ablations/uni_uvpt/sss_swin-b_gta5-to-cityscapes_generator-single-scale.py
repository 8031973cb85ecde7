"""Ablation: one map of stride 4, resized, in the place of three.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(generator='single_scale'))
