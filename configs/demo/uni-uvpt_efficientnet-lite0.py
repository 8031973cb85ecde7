"""The demo's adaptation with EfficientNet-Lite0; tools/demo.py names the source checkpoint."""

_base_ = ['../_base_/models/efficientnet-lite0_source.py', '../_base_/demo_adapt.py']

model = dict(
    type='UniUVPT',
    source_checkpoint=None,
    backbone=dict(init_cfg=None),  # its weights are the source model's
    tuner=_base_.nano_prompts,
)
