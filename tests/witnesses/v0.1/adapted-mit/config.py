custom_imports = dict(
    allow_failed_imports=False, imports=[
        'mmseg_uvpt.register',
    ])
data_preprocessor = dict(
    bgr_to_rgb=True,
    mean=[
        123.675,
        116.28,
        103.53,
    ],
    pad_val=0,
    seg_pad_val=255,
    size_divisor=1,
    std=[
        58.395,
        57.12,
        57.375,
    ],
    type='AsyncPreprocessor')
data_root = 'data'
default_hooks = dict(
    checkpoint=dict(
        by_epoch=False,
        interval=6,
        max_keep_ckpts=1,
        save_best='mIoU19',
        type='WholeCheckpointHook'),
    label_correction=dict(
        interval=2,
        num_classes=19,
        pseudo_label_dir='data/cityscapes/pretrain/mit/train',
        quantile=0.8,
        queue_length=3,
        slope=0.3,
        type='LabelCorrectionHook'),
    logger=dict(interval=1, log_metric_by_epoch=False, type='LoggerHook'),
    param_scheduler=dict(type='ParamSchedulerHook'),
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    timer=dict(type='IterTimerHook'))
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
evaluation = dict(
    dataset=dict(pipeline=[
        dict(type='LoadImageChecked'),
        dict(keep_ratio=True, scale=(
            64,
            32,
        ), type='Resize'),
        dict(type='LoadLabelChecked'),
        dict(type='PackSegInputs'),
    ]),
    num_workers=0,
    persistent_workers=False)
image_cache = None
launcher = 'none'
load = [
    dict(type='LoadImageChecked'),
    dict(keep_ratio=True, scale=(
        64,
        32,
    ), type='Resize'),
]
load_and_resize = [
    dict(type='LoadImageChecked'),
    dict(keep_ratio=True, scale=(
        1024,
        512,
    ), type='Resize'),
]
load_from = None
log_level = 'INFO'
log_processor = dict(by_epoch=False)
max_skipped_in_a_row = 20
model = dict(
    backbone=dict(
        add_level_embedding=False,
        generator_channels=4,
        heads=2,
        points=4,
        staged=dict(
            depths=(
                1,
                1,
                1,
                1,
            ),
            drop_path_rate=0.1,
            mlp_ratio=2,
            num_heads=(
                1,
                2,
                3,
                4,
            ),
            reductions=(
                8,
                4,
                2,
                1,
            ),
            type='StagedMiT',
            widths=(
                4,
                8,
                12,
                16,
            )),
        type='PromptedBackbone'),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_val=0,
        seg_pad_val=255,
        size_divisor=1,
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='AsyncPreprocessor'),
    decode_head=dict(
        channels=8,
        dropout_ratio=0.0,
        in_channels=(
            4,
            8,
            12,
            16,
        ),
        loss_decode=dict(
            loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=False),
        num_classes=19,
        type='DAFormerHead'),
    source_checkpoint='source-mit/iter_60.pth',
    test_cfg=dict(mode='whole'),
    train_cfg=None,
    tune='prompts',
    type='UniUVPT')
optim_wrapper = dict(
    constructor='FewGroupsConstructor',
    optimizer=dict(
        betas=(
            0.9,
            0.999,
        ),
        fused=True,
        lr=0.001,
        type='AdamW',
        weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict({
            'backbone.adapters': dict(lr_mult=5.0),
            'backbone.generator': dict(lr_mult=5.0),
            'backbone.level_embedding': dict(lr_mult=5.0),
            'decode_head': dict(lr_mult=10.0)
        }),
        norm_decay_mult=0.0),
    type='OptimWrapper')
param_scheduler = [
    dict(
        begin=0,
        by_epoch=False,
        end=24,
        eta_min_ratio=1e-05,
        type='CosineAnnealingLR'),
]
randomness = dict(seed=0)
resume = False
sync_bn = 'torch'
target_train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_prefix=dict(img_path='leftImg8bit/train'),
        data_root='data/cityscapes',
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(keep_ratio=True, scale=(
                64,
                32,
            ), type='Resize'),
            dict(type='PackSegInputs'),
        ],
        test_mode=True,
        type='CityscapesDataset'),
    num_workers=0,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        data_root='data/cityscapes',
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(keep_ratio=True, scale=(
                64,
                32,
            ), type='Resize'),
            dict(type='LoadLabelChecked'),
            dict(type='PackSegInputs'),
        ],
        test_mode=True,
        type='CityscapesDataset'),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False, type='DefaultSampler'))
test_evaluator = dict(type='DomainIoUMetric')
test_pipeline = [
    dict(type='LoadImageChecked'),
    dict(keep_ratio=True, scale=(
        1024,
        512,
    ), type='Resize'),
    dict(type='LoadLabelChecked'),
    dict(type='PackSegInputs'),
]
train_cfg = dict(max_iters=24, type='IterBasedTrainLoop', val_interval=24)
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(img_path='leftImg8bit/train'),
        data_root='data/cityscapes',
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(keep_ratio=True, scale=(
                64,
                32,
            ), type='Resize'),
            dict(crop_size=(
                32,
                32,
            ), type='CropWithBox'),
            dict(prob=0.5, type='RandomFlip'),
            dict(type='PhotoMetricDistortion'),
            dict(
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
                type='PackSegInputs'),
        ],
        type='CityscapesDataset'),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=True, type='InfiniteSampler'))
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImageChecked'),
    dict(
        transforms=[
            [
                dict(scale=(
                    64,
                    32,
                ), type='Resize'),
                dict(scale=(
                    96,
                    48,
                ), type='Resize'),
            ],
            [
                dict(prob=0.0, type='RandomFlip'),
                dict(prob=1.0, type='RandomFlip'),
            ],
            [
                dict(type='LoadLabelChecked'),
            ],
            [
                dict(type='PackSegInputs'),
            ],
        ],
        type='TestTimeAug'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        data_prefix=dict(
            img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        data_root='data/cityscapes',
        pipeline=[
            dict(type='LoadImageChecked'),
            dict(keep_ratio=True, scale=(
                64,
                32,
            ), type='Resize'),
            dict(type='LoadLabelChecked'),
            dict(type='PackSegInputs'),
        ],
        test_mode=True,
        type='CityscapesDataset'),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(shuffle=False, type='DefaultSampler'))
val_evaluator = dict(type='DomainIoUMetric')
vis_backends = [
    dict(type='LocalVisBackend'),
]
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=[
        dict(type='LocalVisBackend'),
    ])
work_dir = 'adapted-mit'
