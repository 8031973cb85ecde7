# Data sets in the place of Cityscapes, for configs that list this file in `_base_`. As there,
# images are seen within 1024 x 512, labels and scores are at the original size. Learning rates are
# those for Cityscapes, not tuned.
bdd100k = dict(type='DrivingDataset', layout='bdd100k', data_root='data/bdd100k', data_prefix=None)
bdd100k_train, bdd100k_val = dict(**bdd100k, split='train'), dict(**bdd100k, split='val')

mapillary = dict(
    type='DrivingDataset', layout='mapillary', data_root='data/mapillary', data_prefix=None
)
mapillary_train = dict(**mapillary, split='training')
mapillary_val = dict(**mapillary, split='validation')

acdc = dict(type='DrivingDataset', layout='acdc', data_root='data/acdc', data_prefix=None)
acdc_train, acdc_val = dict(**acdc, split='train'), dict(**acdc, split='val')

dark_zurich = dict(
    type='DrivingDataset', layout='dark_zurich', data_root='data/dark_zurich', data_prefix=None
)
dark_zurich_train = dict(**dark_zurich, split='train/night')
dark_zurich_val = dict(**dark_zurich, split='val/night')

# Cityscapes as a source, at the size at which it is seen as a target
cityscapes_source = dict(
    type='CheckedCityscapesDataset',
    data_root='data/cityscapes',
    data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    pipeline=[
        dict(type='LoadImageChecked'),
        dict(type='LoadLabelChecked'),
        dict(type='Resize', scale=(1024, 512), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(512, 512), cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ],
)
