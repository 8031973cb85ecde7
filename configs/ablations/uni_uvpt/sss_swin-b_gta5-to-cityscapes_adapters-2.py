"""Ablation: adapters before the first two stages of four.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(interactors=2))
