# Methods beside Uni-UVPT, for configs that list this file in `_base_`.
self_training = dict(type='SelfTraining', view_scales=(1.0,))
mean_teacher = dict(type='MeanTeacher', view_scales=(1.0,))
adabn = dict(type='AdaBN', view_scales=(1.0,), tuner=dict(_delete_=True, type='Statistics'))
tent = dict(type='Tent', tuner=dict(_delete_=True, type='Norm'), view_scales=(1.0,))
information = dict(
    type='InformationMaximisation', tuner=dict(_delete_=True, type='All'), view_scales=(1.0,)
)

# New statistics (`RenewStatisticsHook`) and a teacher that is asked both ways round; its student is
# held near the model that it began with. No masked view: docs/methods.md says why.
best = dict(
    type='MeanTeacher',
    view_scales=(1.0,),
    keep_statistics=True,
    labels='soft',
    teacher_flips=True,
    balance=0.5,
    mask_ratio=0,
    anchors=[dict(type='SourceConsistency')],
)

best_hooks = dict(
    label_correction=None,
    renewal=dict(type='RenewStatisticsHook'),
    selection=dict(select='guarded'),
)
best_hooks_16_classes = {**best_hooks, 'selection': dict(select='guarded', score='mIoU16')}
cityscapes_two_looks = [
    dict(type='LoadImageChecked'),
    dict(type='Resize', scale=(1024, 512), keep_ratio=True),
    dict(type='CropWithBox', crop_size=(512, 512)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='KeepUnaugmented'),
    dict(type='PhotoMetricDistortion'),
    dict(
        type='PackSegInputs',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'flip', 'sample_idx', 'unaugmented'),
    ),
]
# And how methods see images that train norms or their statistics: whole, as in a prediction.
cityscapes_whole_frames = [*cityscapes_two_looks[:2], cityscapes_two_looks[-1]]

# What the best recipe's student sees: distorted half as strongly as published, see docs/methods.md.
half_distortion = dict(
    type='PhotoMetricDistortion',
    brightness_delta=16,
    contrast_range=(0.75, 1.25),
    saturation_range=(0.75, 1.25),
    hue_delta=9,
)
best_looks = [*cityscapes_two_looks[:5], half_distortion, cityscapes_two_looks[-1]]

# In the demo's frames, a third as large as those of the recipes, patches are smaller, too.
# In its 240 iterations a teacher has to follow faster.
demo_teacher = dict(mask_patch=20, momentum=0.99)

# How the demo's methods without pseudo labels see a frame: as it is, and augmented.
demo_two_looks = [
    cityscapes_two_looks[0],
    dict(type='Resize', scale=(320, 160), keep_ratio=True),
    dict(type='CropWithBox', crop_size=(128, 192)),
    *cityscapes_two_looks[3:],
]
demo_best_looks = [*demo_two_looks[:5], half_distortion, demo_two_looks[-1]]
# And whole.
demo_whole_frames = [*demo_two_looks[:2], demo_two_looks[-1]]
