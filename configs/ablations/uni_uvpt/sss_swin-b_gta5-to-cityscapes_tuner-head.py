"""Ablation: nothing but the head is tuned.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(_delete_=True, type='Head'))
