"""Ablation: new statistics in the head's batch norms, and no parameter tuned.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(_delete_=True, type='Statistics'))
