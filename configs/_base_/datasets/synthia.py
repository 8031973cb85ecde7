# Source training on SYNTHIA: 512 x 512 crops of 1280 x 760, at most three quarters of one class.
undistorted_pipeline = [  # what source-GtA takes, which augments by other means
    dict(type='LoadImageChecked'),
    dict(type='LoadLabelChecked'),
    dict(type='Resize', scale=(1280, 760), keep_ratio=True),
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
        type='SynthiaDataset',
        data_root='data/synthia',
        data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
        pipeline=[
            *undistorted_pipeline[:-1],
            dict(type='PhotoMetricDistortion'),
            undistorted_pipeline[-1],
        ],
    ),
)
