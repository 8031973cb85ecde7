# What all source models share. num_classes and the loss are those of the published recipes.
model = dict(
    type='SourceSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
    ),
    decode_head=dict(
        type='DAFormerHead',
        channels=256,
        num_classes=19,
        dropout_ratio=0.1,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=None,
    test_cfg=dict(mode='whole'),
)
