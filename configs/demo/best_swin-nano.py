"""The best recipe that these parts allow, at the demo's size; see configs/best."""

_base_ = ['uni-uvpt_swin-nano.py', '../_base_/methods.py']

model = dict(**_base_.best, **_base_.demo_teacher)
train_dataloader = dict(dataset=dict(pipeline=_base_.demo_best_looks))
default_hooks = _base_.best_hooks
