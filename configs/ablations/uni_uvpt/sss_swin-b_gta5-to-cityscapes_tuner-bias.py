"""Ablation: the backbone's biases are tuned, without prompts.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(_delete_=True, type='Bias'))
