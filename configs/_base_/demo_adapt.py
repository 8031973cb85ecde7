# The demo's adaptation to MiniCity's photographic look, in Cityscapes' format and without labels.
# The rule of the label correction is the published one; interval and queue are cut to a run of a
# few epochs.
_base_ = [
    'datasets/cityscapes_adaptation.py',
    'datasets/minicity.py',
    'schedules/adapt_80k.py',
]

uvpt = dict(data_root='data/minicity', report=False)  # of a whole demo one page is enough
nano_prompts = dict(type='Prompts', heads=4, points=4, generator_channels=16)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(type='LoadPseudoLabel'),
            dict(type='Resize', scale=(320, 160), keep_ratio=True),
            dict(type='CropWithBox', crop_size=(128, 192), cat_max_ratio=0.75),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            *_base_.train_dataloader.dataset.pipeline[-1:],
        ]
    ),
)
target_train_dataloader = dict(num_workers=1, dataset=dict(pipeline=_base_.minicity_unlabelled))
val_dataloader = dict(batch_size=5, num_workers=1, dataset=dict(pipeline=_base_.minicity_labelled))
test_dataloader = val_dataloader
test_pipeline = _base_.minicity_labelled
tta_pipeline = _base_.minicity_augmented

optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_iters=240, val_interval=80)
default_hooks = dict(
    checkpoint=dict(interval=240),
    logger=dict(interval=10),
    label_correction=dict(
        pseudo_label_dir='data/cityscapes/pretrain/demo/train', interval=10, queue_length=60
    ),
    # selected.pth then has what is chosen without labels, and best_*.pth the best by labels
    selection=dict(images=32, select='guarded'),
)
