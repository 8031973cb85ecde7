"""Ablation: no prompt generator: one learned pyramid for all images.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(generator='learned'))
