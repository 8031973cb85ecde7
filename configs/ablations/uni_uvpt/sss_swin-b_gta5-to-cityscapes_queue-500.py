"""Ablation: the IoU of half as many images.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=dict(queue_length=500))
