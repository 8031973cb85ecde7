"""Ablation: more predictions are trusted: the default of the published code, not of its launcher.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=dict(quantile=0.66))
