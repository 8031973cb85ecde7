# EfficientNet-Lite0, a CNN of 3.4 M parameters, for the demo. It begins with ImageNet weights,
# which tools/efficientnet_lite0_weights.py writes.
_base_ = 'segmentor.py'

model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        type='TimmEfficientNet',
        model='tf_efficientnet_lite0',
        init_cfg=dict(type='Pretrained', checkpoint='model/tf_efficientnet_lite0.safetensors'),
    ),
    decode_head=dict(in_channels=(24, 40, 112, 320), channels=32, dropout_ratio=0.0),
)
