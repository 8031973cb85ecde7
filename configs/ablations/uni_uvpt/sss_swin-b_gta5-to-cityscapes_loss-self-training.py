"""Ablation: the self-training loss alone.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(prediction_weight=0.0, prompt_weight=0.0)
