"""Ablation: an adapter before the first stage alone ("single prompt interactor").

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(interactors=1))
