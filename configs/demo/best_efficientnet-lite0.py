"""The best recipe that these parts allow, at the demo's size; see configs/best."""

_base_ = ['uni-uvpt_efficientnet-lite0.py', '../_base_/methods.py']

model = dict(**_base_.best, mask_patch=_base_.demo_mask_patch)
train_dataloader = dict(dataset=dict(pipeline=_base_.demo_two_looks))
default_hooks = dict(
    label_correction=None,
    renewal=dict(type='RenewStatisticsHook'),
    selection=dict(select='guarded'),
)
