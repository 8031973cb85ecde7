"""Source model Swin-B, GTA5, standard single source, evaluated on BDD100K.

Nobody has trained it here.
"""

_base_ = ['../../../pretrain/sss_swin-b_gta5.py', '../../../_base_/targets.py']

uvpt = dict(published=None)
target_train_dataloader = dict(dataset=_base_.bdd100k_train)
val_dataloader = dict(dataset=_base_.bdd100k_val)
test_dataloader = val_dataloader
