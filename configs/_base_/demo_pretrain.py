# The demo's source training, from scratch on MiniCity's rendered look in GTA's format. Its scores
# (README.md) were measured without the photometric distortion that the published recipe has.
_base_ = [
    'datasets/gta.py',
    'datasets/cityscapes.py',
    'datasets/minicity.py',
    'schedules/pretrain_400k.py',
]

uvpt = dict(data_root='data/minicity', report=False)  # of a whole demo one page is enough
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(type='LoadLabelChecked'),
            dict(type='Resize', scale=(320, 160), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(128, 256), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ]
    ),
)
target_train_dataloader = dict(num_workers=1, dataset=dict(pipeline=_base_.minicity_unlabelled))
val_dataloader = dict(batch_size=5, num_workers=1, dataset=dict(pipeline=_base_.minicity_labelled))
test_dataloader = val_dataloader
test_pipeline = _base_.minicity_labelled
tta_pipeline = _base_.minicity_augmented

optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(lr_mult=dict(head=5.0)))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=30, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(max_iters=1000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000), logger=dict(interval=20))
