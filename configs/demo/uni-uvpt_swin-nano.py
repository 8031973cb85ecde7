"""The demo's adaptation with Swin-nano; see tools/demo.py, which names the source checkpoint."""

_base_ = ['../_base_/models/swin-nano_uni-uvpt.py', '../_base_/demo_adapt.py']
