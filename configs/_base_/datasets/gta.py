# Source training on GTA: 512 x 512 crops of 1280 x 720, at most three quarters of one class.
undistorted_pipeline = [  # what source-GtA takes, which augments by other means
    dict(type='LoadImageChecked'),
    dict(type='LoadLabelChecked'),
    dict(type='Resize', scale=(1280, 720), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='GTADataset',
        data_root='data/gta',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[
            *undistorted_pipeline[:-1],
            dict(type='PhotoMetricDistortion'),
            undistorted_pipeline[-1],
        ],
    ),
)
