"""The demo's source model with ViT-nano; see tools/demo.py."""

_base_ = ['../_base_/models/vit-nano_source.py', '../_base_/demo_pretrain.py']

model = dict(decode_head=dict(loss_decode=dict(class_weight=_base_.minicity_class_weight)))
