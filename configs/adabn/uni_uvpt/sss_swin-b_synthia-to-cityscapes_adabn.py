"""New statistics in the head's batch norms, no training, SSS Swin-B, SYNTHIA to Cityscapes.

Nobody has run it here; docs/results.md has what it gives at the demo's size.
"""

_base_ = ['../../uni_uvpt/sss_swin-b_synthia-to-cityscapes.py', '../../_base_/methods.py']

uvpt = dict(published=dict(adapted=dict(_delete_=True)), released_checkpoint=None)
model = _base_.adabn
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=_base_.cityscapes_whole_frames))
train_cfg = dict(max_iters=372, val_interval=372)  # once through the 2,975 images
default_hooks = dict(label_correction=None, checkpoint=dict(interval=372))
