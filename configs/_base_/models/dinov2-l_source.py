# Source model with DINOv2's ViT-L, which begins with weights of the hub.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmViT',
        model='vit_large_patch14_dinov2.lvd142m',
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='timm/vit_large_patch14_dinov2.lvd142m',
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=1024, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=(1024, 1024, 1024, 1024)),
)
