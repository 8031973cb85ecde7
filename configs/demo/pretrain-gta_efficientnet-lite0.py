"""The demo's source model with EfficientNet-Lite0, generalise-then-adapt; see tools/demo.py."""

_base_ = ['pretrain_efficientnet-lite0.py', '../_base_/generalise.py']

model = dict(type='SourceGtA', data_preprocessor=_base_.generalising_preprocessor)
train_dataloader = dict(collate_fn=_base_.minicity_collate)
