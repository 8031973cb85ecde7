"""New statistics in the head's batch norms, no training: the demo's second baseline."""

_base_ = ['uni-uvpt_efficientnet-lite0.py', '../_base_/methods.py']

model = _base_.adabn
train_dataloader = dict(dataset=dict(pipeline=_base_.demo_one_look))
train_cfg = dict(max_iters=100, val_interval=100)
default_hooks = dict(checkpoint=dict(interval=100), label_correction=None)
