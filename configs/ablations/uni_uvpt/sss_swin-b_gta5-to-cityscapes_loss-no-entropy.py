"""Ablation: no entropy regulariser.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(entropy_weight=0.0)
