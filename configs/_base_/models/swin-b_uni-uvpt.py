# Swin-B with prompts: the frozen source model, prompt generator and a prompt adapter a stage.
_base_ = 'swin-b_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # each recipe names its own
    tune='prompts',
    backbone=dict(
        _delete_=True,
        type='PromptedBackbone',
        staged=dict(_base_.model.backbone, init_cfg=None),  # its weights are the source model's
        heads=16,
        points=4,
        add_level_embedding=True,
    ),
)
