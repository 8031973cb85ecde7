"""The demo's adaptation with EfficientNet-Lite0; tools/demo.py names the source checkpoint."""

_base_ = ['../_base_/models/efficientnet-lite0_source.py', '../_base_/demo_adapt.py']

model = dict(
    type='UniUVPT',
    source_checkpoint=None,
    tune='prompts',
    backbone=dict(
        _base_.nano_prompts, _delete_=True, staged=dict(_base_.model.backbone, init_cfg=None)
    ),
)
