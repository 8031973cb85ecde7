"""Ablation: LoRA in the place of the prompt adapters; it needs peft (docs/tuning.md).

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(_delete_=True, type='LoRA'))
