"""Ablation: no consistency of predictions.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(prediction_weight=0.0)
