"""Ablation: a frame of learned pixels in the place of the prompt adapters.

Nobody has trained it here.
"""

_base_ = '../../_base_/ablation.py'

model = dict(tuner=dict(_delete_=True, type='PixelPrompt'))
