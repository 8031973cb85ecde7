# The target: Cityscapes val for evaluation, Cityscapes train without labels for pseudo labels.
# Images are seen at 1024 x 512; labels and scores are at the original size.
load_and_resize = [
    # LoadImageChecked, under the name by which mmseg's inferencer finds it
    dict(type='LoadImageFromFile', _scope_='mmseg_uvpt'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
]
test_pipeline = [*load_and_resize, dict(type='LoadLabelChecked'), dict(type='PackSegInputs')]

target_train_dataloader = dict(
    batch_size=4,  # and a worker a processor, as for tests
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CheckedCityscapesDataset',
        data_root='data/cityscapes',
        data_prefix=dict(img_path='leftImg8bit/train'),
        pipeline=[*load_and_resize, dict(type='PackSegInputs')],
        test_mode=True,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CheckedCityscapesDataset',
        data_root='data/cityscapes',
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(val_dataloader)
del test_dataloader['num_workers']  # none given: one a processor, up to 8
val_evaluator = dict(type='DomainIoUMetric')
test_evaluator = val_evaluator

# --aug-test: 0.5 to 1.75 times the size of a test, each as it is and flipped
tta_pipeline = [
    dict(type='LoadImageChecked'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(256 * quarters, 128 * quarters), keep_ratio=True)
                for quarters in range(2, 8)
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadLabelChecked')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
