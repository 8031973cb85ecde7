"""Uni-UVPT Swin-B, GTA5 to BDD100K. Nobody has trained it here."""

_base_ = ['../../../uni_uvpt/sss_swin-b_gta5-to-cityscapes.py', '../../../_base_/targets.py']

uvpt = dict(published=None, released_checkpoint=None)
train_dataloader = dict(dataset=_base_.bdd100k_train)
target_train_dataloader = dict(dataset=_base_.bdd100k_train)
val_dataloader = dict(dataset=_base_.bdd100k_val)
test_dataloader = val_dataloader
default_hooks = dict(
    label_correction=dict(
        pseudo_label_dir='data/bdd100k/pretrain/SSS_Swin-B_GTAV_Cityscapes_50.5/train'
    ),
)
