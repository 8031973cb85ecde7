"""The demo's source model with MiT-nano; see tools/demo.py."""

_base_ = ['../_base_/models/mit-nano_source.py', '../_base_/demo_pretrain.py']
