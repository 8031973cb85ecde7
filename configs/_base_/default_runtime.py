# What every run shares: imports, seed, logging, checkpoints written whole.
custom_imports = dict(imports=['mmseg_uvpt.register'], allow_failed_imports=False)
default_scope = 'mmseg'
randomness = dict(seed=0)
sync_bn = 'torch'  # batch norm over all processes, where several train
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
default_hooks = dict(
    runtime_info=dict(type='DeferredRuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='WholeCheckpointHook', by_epoch=False, max_keep_ckpts=2, save_best='mIoU19'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
# what is this project's own: mmseg_uvpt/engine/config/uvpt.py
uvpt = dict(
    data_root='data',  # a leading 'data' in any data_root or pseudo_label_dir stands for this
    cityscapes_root=None,  # where Cityscapes is, if not below data_root
    image_cache=None,  # folder for decoded and resized images
    max_skipped_in_a_row=20,  # iterations without a finite loss that end a training
    plain=False,  # what --plain sets: nothing accelerated, operators as their references
    amp=False,  # what --amp sets
    low_memory=False,  # what --low-memory sets
    compile=False,  # what --compile sets
    compile_backend='inductor',  # of torch.compile, on a CPU
    compile_limit=120,  # seconds after which a CPU goes on uncompiled; None for no limit
    report=True,  # whether train.py and test.py end with a page on the run, report.html
)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
load_from = None
resume = False
