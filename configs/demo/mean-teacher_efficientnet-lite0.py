"""The demo's adaptation by a mean teacher; see tools/demo.py."""

_base_ = ['uni-uvpt_efficientnet-lite0.py', '../_base_/methods.py']

model = dict(**_base_.mean_teacher, **_base_.demo_teacher)
train_dataloader = dict(dataset=dict(pipeline=_base_.demo_two_looks))
default_hooks = dict(label_correction=None)
