"""Ablation: no self-training loss.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(self_training_weight=0.0)
