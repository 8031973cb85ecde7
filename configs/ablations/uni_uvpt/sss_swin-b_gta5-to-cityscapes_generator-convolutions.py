"""Ablation: no stem: 3x3 convolutions of strides 2, 4 and 8 make the pyramid.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(generator='convolutions'))
