# Adaptation to Cityscapes: train images without labels, which come from the label bank.
_base_ = 'cityscapes.py'

train_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='CheckedCityscapesDataset',
        data_root='data/cityscapes',
        data_prefix=dict(img_path='leftImg8bit/train'),
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(type='LoadPseudoLabel'),  # as made: to draw crops by, not to train on
            dict(type='Resize', scale=(1024, 512), keep_ratio=True),
            dict(type='CropWithBox', crop_size=(512, 512), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            # the last three are what the bank needs to find the crop's labels
            dict(
                type='PackSegInputs',
                meta_keys=(
                    'img_path',
                    'seg_map_path',
                    'ori_shape',
                    'img_shape',
                    'pad_shape',
                    'scale_factor',
                    'flip',
                    'flip_direction',
                    'reduce_zero_label',
                    'crop_box',
                    'frame_shape',
                    'sample_idx',
                ),
            ),
        ],
    ),
)
