# A pretraining of a minute, to rehearse the benchmark's jobs on MiniCity. Its scores mean nothing.
_base_ = 'demo_pretrain.py'

undistorted_pipeline = [  # of source-GtA, as in datasets/gta.py
    dict(type='LoadImageChecked'),
    dict(type='LoadLabelChecked'),
    dict(type='Resize', scale=(160, 80), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    num_workers=0,
    dataset=dict(
        pipeline=[
            *undistorted_pipeline[:-1],
            dict(type='PhotoMetricDistortion'),
            undistorted_pipeline[-1],
        ]
    ),
)
target_train_dataloader = dict(num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = val_dataloader

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=5, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, by_epoch=False),
]
train_cfg = dict(max_iters=20, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=5), logger=dict(interval=5))
