"""Ablation: early-learning regularisation of fixed labels, in the place of all losses.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(type='EarlyLearning')
default_hooks = dict(label_correction=dict(type='EarlyLearningHook'))
