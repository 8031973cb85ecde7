"""Source model Swin-B, Cityscapes, standard single source, evaluated on Dark Zurich.

Nobody has trained it here.
"""

_base_ = ['../../../pretrain/sss_swin-b_gta5.py', '../../../_base_/targets.py']

uvpt = dict(published=None, released_checkpoint=None)
train_dataloader = dict(dataset=_base_.cityscapes_source)
target_train_dataloader = dict(dataset=_base_.dark_zurich_train)
val_dataloader = dict(dataset=_base_.dark_zurich_val)
test_dataloader = val_dataloader
