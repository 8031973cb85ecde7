"""New statistics in the head's batch norms, no training: the demo's second baseline."""

_base_ = ['uni-uvpt_swin-nano.py', '../_base_/methods.py']

model = _base_.adabn
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=_base_.demo_whole_frames))
train_cfg = dict(max_iters=30, val_interval=30)  # once through the images
default_hooks = dict(checkpoint=dict(interval=30), label_correction=None)
