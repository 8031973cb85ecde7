"""Uni-UVPT Swin-B, Cityscapes to ACDC. Nobody has trained it here."""

_base_ = ['../../../uni_uvpt/sss_swin-b_gta5-to-cityscapes.py', '../../../_base_/targets.py']

uvpt = dict(published=None, released_checkpoint=None)
model = dict(source_checkpoint=None)
train_dataloader = dict(dataset=_base_.acdc_train)
target_train_dataloader = dict(dataset=_base_.acdc_train)
val_dataloader = dict(dataset=_base_.acdc_val)
test_dataloader = val_dataloader
default_hooks = dict(
    label_correction=dict(pseudo_label_dir='data/acdc/pretrain/sss_swin-b_cityscapes/train'),
)
