# DINOv3's ViT-L with prompts.
_base_ = 'dinov3-l_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # train.py is given it
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
