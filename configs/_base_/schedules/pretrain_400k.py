# Standard single-source pretraining: AdamW, head x10, polynomial decay with linear warm-up.
# The learning rate depends on backbone and source and stands in each recipe.
_base_ = '../default_runtime.py'

optim_wrapper = dict(
    type='FiniteOptimWrapper',
    constructor='FewGroupsConstructor',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999), weight_decay=0.01, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, lr_mult=dict(head=10.0)),
)
# the two multiply: the decay runs from iteration 0, below the warm-up, to the training's end
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, by_epoch=False),
]
# evaluations and checkpoints as published
train_cfg = dict(type='SeededTrainLoop', max_iters=400000, val_interval=2000)
val_cfg = dict(type='InferenceValLoop')
test_cfg = dict(type='InferenceTestLoop')

default_hooks = dict(checkpoint=dict(interval=2000))
