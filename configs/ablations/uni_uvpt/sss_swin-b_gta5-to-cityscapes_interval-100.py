"""Ablation: correction decided on twice as often.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=dict(interval=100))
