"""Ablation: no consistency of prompts.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(prompt_weight=0.0)
