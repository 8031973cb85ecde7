# Source model with DINOv2's ViT-B, which begins with weights of the hub.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmViT',
        model='vit_base_patch14_dinov2.lvd142m',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='timm/vit_base_patch14_dinov2.lvd142m',
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=(768, 768, 768, 768)),
)
