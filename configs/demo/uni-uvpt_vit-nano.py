"""The demo's adaptation with ViT-nano; tools/demo.py names the source checkpoint."""

_base_ = ['../_base_/models/vit-nano_source.py', '../_base_/demo_adapt.py']

model = dict(type='UniUVPT', source_checkpoint=None, tuner=_base_.nano_prompts)
