"""Ablation: no level embedding.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(add_level_embedding=False))
