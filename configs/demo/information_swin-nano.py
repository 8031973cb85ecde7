"""The demo's adaptation by information maximisation; see tools/demo.py."""

_base_ = ['uni-uvpt_swin-nano.py', '../_base_/methods.py']

model = _base_.information
train_dataloader = dict(dataset=dict(pipeline=_base_.demo_whole_frames))
default_hooks = dict(label_correction=None)
