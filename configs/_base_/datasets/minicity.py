# How the demo sees MiniCity (tools/make_demo_data.py): frames of 512 x 256 at 320 x 160, so that
# nano models learn within minutes on two cores. Scores are at the original size.
minicity_frame = [
    # LoadImageChecked, under the name by which mmseg's inferencer finds it
    dict(type='LoadImageFromFile', _scope_='mmseg_uvpt'),
    dict(type='Resize', scale=(320, 160), keep_ratio=True),
]
minicity_unlabelled = [*minicity_frame, dict(type='PackSegInputs')]
minicity_labelled = [
    *minicity_frame,
    dict(type='LoadLabelChecked'),
    dict(type='PackSegInputs'),
]
minicity_augmented = [
    dict(type='LoadImageChecked'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=scale, keep_ratio=True)
                for scale in ((320, 160), (400, 200))
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadLabelChecked')],
            [dict(type='PackSegInputs')],
        ],
    ),
]

# One over the root of each class's share of the rendered pixels: a thousand iterations from scratch
# are too few for rare classes otherwise. The published recipes have no class weights.
minicity_class_weight = [
    *(0.6, 1.7, 0.6, 4.8, 4.1, 2.8, 10.4, 4.0, 1.1, 2.9),
    *(1.1, 3.3, 12.0, 1.1, 2.4, 3.2, 5.2, 9.9, 8.8),
]

minicity_collate = dict(  # of source-GtA, with the augmentations that need no downloads
    type='augmented_collate',
    augmentations=['fda_random', 'fda_style'],
    style_dir='data/minicity/style',
)
