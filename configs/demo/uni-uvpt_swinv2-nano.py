"""The demo's adaptation with Swin V2-nano; tools/demo.py names the source checkpoint."""

_base_ = ['../_base_/models/swinv2-nano_source.py', '../_base_/demo_adapt.py']

model = dict(type='UniUVPT', source_checkpoint=None, tuner=_base_.nano_prompts)
