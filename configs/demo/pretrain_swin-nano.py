"""The demo's source model with Swin-nano; see tools/demo.py."""

_base_ = ['../_base_/models/swin-nano_source.py', '../_base_/demo_pretrain.py']
