# A plain ViT of 128 channels with the neck that it needs, for the demo. No ImageNet weights.
_base_ = 'segmentor.py'

model = dict(
    backbone=dict(
        type='TimmViT', model='vit_tiny_patch16_224', embed_dim=128, depth=8, num_heads=4
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=128, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=(128, 128, 128, 128), channels=32, dropout_ratio=0.0),
)
