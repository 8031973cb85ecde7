# Source model with DINOv3's ViT-L, which begins with weights of the hub.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmViT',
        model='vit_large_patch16_dinov3.lvd1689m',
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='timm/vit_large_patch16_dinov3.lvd1689m',
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=1024, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=(1024, 1024, 1024, 1024)),
)
