"""The demo's source model with MiT-nano, generalise-then-adapt; see tools/demo.py."""

_base_ = ['pretrain_mit-nano.py', '../_base_/generalise.py']

model = dict(type='SourceGtA', data_preprocessor=_base_.generalising_preprocessor)
train_dataloader = dict(collate_fn=_base_.minicity_collate)
