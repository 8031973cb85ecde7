# An adaptation of a minute, to rehearse the benchmark's jobs on MiniCity. Its scores mean nothing.
_base_ = 'demo_adapt.py'

train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(type='LoadPseudoLabel'),
            dict(type='Resize', scale=(160, 80), keep_ratio=True),
            dict(type='CropWithBox', crop_size=(64, 64), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            *_base_.train_dataloader.dataset.pipeline[-1:],
        ]
    ),
)
target_train_dataloader = dict(num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = val_dataloader

train_cfg = dict(max_iters=8, val_interval=8)
default_hooks = dict(
    checkpoint=dict(interval=2),
    logger=dict(interval=2),
    label_correction=dict(interval=2, queue_length=4),
    selection=dict(images=2),
)
