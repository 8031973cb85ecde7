"""The best recipe that these parts allow, source-GtA MiT-B5, SYNTHIA to Cityscapes.

Nobody has trained it here; docs/results.md has what it gives at the demo's size.
"""

_base_ = ['../../uni_uvpt/source-gta_mit-b5_synthia-to-cityscapes.py', '../../_base_/methods.py']

uvpt = dict(published=dict(adapted=dict(_delete_=True)), released_checkpoint=None)
model = _base_.best
train_dataloader = dict(batch_size=2, dataset=dict(pipeline=_base_.best_looks))
default_hooks = dict(**_base_.best_hooks_16_classes, checkpoint=dict(save_best=None))
