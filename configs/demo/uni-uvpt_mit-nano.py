"""The demo's adaptation with MiT-nano; see tools/demo.py, which names the source checkpoint."""

_base_ = ['../_base_/models/mit-nano_uni-uvpt.py', '../_base_/demo_adapt.py']
