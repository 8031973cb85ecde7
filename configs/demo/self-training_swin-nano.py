"""The demo's adaptation by self-training on fixed pseudo labels; see tools/demo.py."""

_base_ = ['uni-uvpt_swin-nano.py', '../_base_/methods.py']

model = _base_.self_training
default_hooks = dict(label_correction=None)
