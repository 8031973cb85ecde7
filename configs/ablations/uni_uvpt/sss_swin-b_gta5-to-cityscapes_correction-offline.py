"""Ablation: offline correction, by the curve that the full method's run recorded.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

default_hooks = dict(label_correction=dict(type='OfflineLabelCorrectionHook'))
