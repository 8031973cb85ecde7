# Source model with EVA-02-L, which begins with weights of the hub.
_base_ = 'segmentor.py'

model = dict(
    data_preprocessor=dict(  # of CLIP's data, as timm describes these weights
        mean=[122.771, 116.746, 104.094],
        std=[68.501, 66.632, 70.323],
    ),
    backbone=dict(
        type='TimmViT',
        model='eva02_large_patch14_448.mim_m38m_ft_in22k_in1k',
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='timm/eva02_large_patch14_448.mim_m38m_ft_in22k_in1k',
        ),
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=1024, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=(1024, 1024, 1024, 1024)),
)
