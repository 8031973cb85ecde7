# Adaptation: AdamW on prompts (x5), head (x10) and scale weights (x1), cosine to 1e-5 of the start.
# The learning rate depends on the backbone and stands in each recipe.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='FiniteOptimWrapper',
    constructor='FewGroupsConstructor',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, lr_mult=dict(prompts=5.0, head=10.0, scale_weights=1.0)
    ),
)
# without an `end`, it ends with the training
param_scheduler = [dict(type='CosineAnnealingLR', eta_min_ratio=1e-5, begin=0, by_epoch=False)]
train_cfg = dict(type='SeededTrainLoop', max_iters=80000, val_interval=2000)
val_cfg = dict(type='InferenceValLoop')
test_cfg = dict(type='InferenceTestLoop')

default_hooks = dict(
    checkpoint=dict(interval=2000),
    label_correction=dict(
        type='LabelCorrectionHook',
        interval=200,
        queue_length=1000,
        slope=0.95,
        quantile=0.80,
        num_classes=19,
    ),
    # the best by the target's labels, as published; without labels 'guarded' chooses
    selection=dict(type='SelectionHook', select='target labels', images=64),
)
