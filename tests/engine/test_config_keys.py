"""Keys that nothing reads are errors; keys that something reads, and variables, are not."""

import inspect
from argparse import Namespace

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_uvpt.engine.config.keys import READ, VARIABLES, check_names
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.scripts import pretrain
from mmseg_uvpt.errors import UserError


def resolved(config, *options: str) -> Config:
    return resolve(Namespace(config=str(config), data_root=None, cfg_options=options))


def test_what_mmengine_reads_is_known():
    runner = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    assert runner <= READ


@pytest.mark.parametrize(
    ('option', 'nearest'),
    [
        ('train_dataloder.batch_size=7', 'train_dataloader.batch_size'),
        ('optim_wraper.optimizer.lr=9', 'optim_wrapper.optimizer.lr'),
        ('image_cach=x', 'uvpt.image_cache'),
        ('uvpt.image_cach=x', 'uvpt.image_cache'),
        ('sed=3', 'randomness.seed'),
        ('lr=1', 'optim_wrapper.optimizer.lr'),
        ('max_iter=2', 'train_cfg.max_iters'),
        ('train_cfg.max_iter=2', 'train_cfg.max_iters'),
        ('model.decode_head.dropout_ration=0.2', 'model.decode_head.dropout_ratio'),
        ('model.dropout_ratio=0.2', 'model.decode_head.dropout_ratio'),
        ('model.test_cfg.mdoe=whole', 'model.test_cfg.mode'),
        ('model.backbone.drop_path=0.2', 'model.backbone.drop_path_rate'),
        ('model.prompt_wieght=1', 'model.prompt_weight'),
        ('env_cfg.cudnn_benchmrk=False', 'env_cfg.cudnn_benchmark'),
        ('env_cfg.mp_cfg.opencv_threads=1', 'env_cfg.mp_cfg.opencv_num_threads'),
        ('randomness.sed=3', 'randomness.seed'),
        ('optim_wrapper.paramwise_cfg.lr_mult.prompt=2', 'lr_mult.prompts'),
        ('optim_wrapper.paramwise_cfg.norm_decay=2', 'paramwise_cfg.norm_decay_mult'),
        ('optim_wrapper.clip_grad.max_nrom=1', 'optim_wrapper.clip_grad.max_norm'),
        ('optim_wrapper.optimizer.beta=1', 'optim_wrapper.optimizer.betas'),
        ('default_hooks.chekpoint.interval=5', 'default_hooks.checkpoint.interval'),
        ('default_hooks.checkpoint.max_keep_ckpt=5', 'default_hooks.checkpoint.max_keep_ckpts'),
        ('default_hooks.label_correction.intervall=5', 'label_correction.interval'),
        ('param_scheduler.0.eta_min_ration=1', 'param_scheduler.0.eta_min_ratio'),
        ('train_dataloader.dataset.pipeline.Resize.scales=1', 'scale'),
        ('train_dataloader.dataset.img_sufix=.jpg', 'train_dataloader.dataset.img_suffix'),
        ('train_dataloader.dataset.data_prefix.img=x', 'data_prefix.img_path'),
        ('train_dataloader.num_worker=1', 'train_dataloader.num_workers'),
        ('log_processor.by_epochs=True', 'log_processor.by_epoch'),
        ('custom_import.imports=[x]', 'custom_imports.imports'),
        ('data_preprocessor.mean=[0,0,0]', 'model.data_preprocessor.mean'),
        ('model.type=UniUVPTT', 'UniUVPT'),
        ('model.tuner.type=Lora', 'LoRA'),
        ('train_dataloader.dataset.pipeline.Resize.type=Resiez', 'Resize'),
    ],
)
def test_the_nearest_key_is_named(adaptation_config, option, nearest):
    with pytest.raises(UserError, match=rf'^--cfg-options: .*; nearest is .*{nearest}\b'):
        resolved(adaptation_config, option)


def test_all_are_named(source_config):
    with pytest.raises(UserError, match=r'^--cfg-options: sed: .*; image_cach: .*image_cache$'):
        resolved(source_config, 'sed=3', 'image_cach=x')


@pytest.mark.parametrize(
    'option',
    [
        'default_hooks.checkpoint.max_keep_ckpts=3',
        'default_hooks.checkpoint.priority=LOW',
        'train_dataloader.pin_memory=True',
        'train_dataloader.drop_last=True',
        'optim_wrapper.clip_grad.max_norm=1',
        'optim_wrapper.accumulative_counts=2',
        'optim_wrapper.optimizer.amsgrad=True',
        'find_unused_parameters=True',
        'auto_scale_lr.base_batch_size=8',
        'resume=True',
        'experiment_name=x',
        'model.prompt_weight=0',
        'model.backbone.init_cfg.type=Pretrained',
        'model.decode_head.loss_decode.class_weight=[1,2]',
        'model.data_preprocessor.size_divisor=32',
        'train_dataloader.dataset.metainfo.classes=[a,b]',
        'train_dataloader.dataset.indices=5',
        'param_scheduler.0.convert_to_iter_based=True',
        'randomness.deterministic=True',
        'env_cfg.dist_cfg.timeout=60',
        'test_cfg.fp16=True',
        'visualizer.name=x',
        'uvpt.image_cache=folder',
        'image_cache=folder',  # as version 0.1 had it
        'max_skipped_in_a_row=3',
    ],
)
def test_what_is_read_passes(adaptation_config, option):
    assert resolved(adaptation_config, option)


def test_a_hook_of_ones_own_passes(source_config):
    options = ('default_hooks.watch.type=EMAHook', 'default_hooks.watch.momentum=0.1')
    assert resolved(source_config, *options).default_hooks.watch.momentum == 0.1


def test_what_timm_takes_passes():
    recipe = 'configs/foundation/pretrain/sss_convnext-b_gta5.py'
    cfg = resolved(recipe, 'model.backbone.depths=(1,1,2,1)')
    assert tuple(cfg.model.backbone.depths) == (1, 1, 2, 1)
    with pytest.raises(UserError, match=r'nearest is model\.backbone\.drop_path_rate'):
        resolved(recipe, 'model.backbone.drop_path_rates=0.1')


@pytest.mark.parametrize(
    'name',
    [
        *('img_scale', 'crop_size', 'load', 'hooks', 'evaluation', 'data', 'norm_cfg', 'classes'),
        *('backbone_cfg', 'train_dataset', 'val_dataloader_night', 'optimizer', 'dataset_type'),
        *('iterations', 'load_and_resize', 'minicity_frame', 'augmented_collate', 'widths'),
        *('generalising_preprocessor', 'vis_backends'),
        *sorted(VARIABLES),
    ],
)
def test_variables_of_a_file_pass(name):
    check_names(Config({name: 1}))


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('train_dataloder', 'train_dataloader'),
        ('optim_wraper', 'optim_wrapper'),
        ('param_schedular', 'param_scheduler'),
        ('modle', 'model'),
        ('env_cgf', 'env_cfg'),
        ('load_form', 'load_from'),
        ('default_hook', 'default_hooks'),
        ('image_cach', 'uvpt.image_cache'),
        ('randomnes', 'randomness'),
    ],
)
def test_a_misspelt_name_in_a_file(tmp_path, source_config, name, meant):
    config = tmp_path / 'mine.py'
    config.write_text(f'_base_ = {str(source_config)!r}\n{name} = dict()\n')
    with pytest.raises(UserError, match=rf'mine\.py: nothing reads {name}; call it {meant} if'):
        resolved(config)


@pytest.mark.parametrize(
    ('option', 'reason'),
    [
        ('param_scheduler.7.end=3', 'param_scheduler has 2 parts'),
        ('train_dataloader.dataset.pipeline.a.scale=1', 'has 0 parts of type a; its parts are 0 L'),
        ('default_hooks=5', 'default_hooks has entries of its own, default_hooks.'),
        ('train_dataloader.dataset.pipeline=5', 'is a list of parts'),
        ('train_dataloader.dataset.pipeline.2.scale=(160', 'its brackets do not match'),
        ('train_dataloader.dataset.pipeline.2.scale=)160(', 'its brackets do not match'),
        ('model.backbone.depths.2=6', r'give all of it, model\.backbone\.depths='),
        ('log_level.x=5', "log_level is 'INFO', which has no entries"),
        ('model..type=x', 'names between dots are missing'),
    ],
)
def test_options_that_do_not_fit(source_config, option, reason):
    with pytest.raises(UserError, match=rf'^--cfg-options .*{reason}'):
        resolved(source_config, option)


def test_parts_of_lists_by_type_and_none(source_config):
    steps = 'train_dataloader.dataset.pipeline'
    options = (f'{steps}.RandomFlip=None', f'{steps}.Resize.scale=(8,4)', f'{steps}.0=None')
    before, after = resolved(source_config), resolved(source_config, *options)
    names = [step.type for step in before.train_dataloader.dataset.pipeline]
    left = [step.type for step in after.train_dataloader.dataset.pipeline]
    assert left == [name for name in names[1:] if name != 'RandomFlip']
    assert after.train_dataloader.dataset.pipeline[1].scale == (8, 4)
    assert after.val_dataloader == before.val_dataloader


def test_values_within_a_list(source_config):
    option = 'model.data_preprocessor.mean.1=7'
    assert resolved(source_config, option).model.data_preprocessor.mean == [123.675, 7, 103.53]


@pytest.mark.parametrize(
    'option', ['train_dataloader=None', 'model=None', 'optim_wrapper=None', 'train_cfg=None']
)
def test_parts_that_a_training_needs(source_config, data_root, tmp_path, option):
    where = ['--work-dir', str(tmp_path / 'run'), '--data-root', str(data_root)]
    told = rf'has no {option.partition("=")[0]}, which this script needs \(it is None\)'
    with pytest.raises(UserError, match=told):
        pretrain.main([str(source_config), *where, '--cfg-options', option])


@pytest.mark.parametrize(
    ('entry', 'reason'),
    [
        (
            'uvpt = dict(image_cach="x")',
            r'mine\.py: nothing reads uvpt\.image_cach; nearest is uv.*he',
        ),
        ('uvpt = dict(image_cache=True)', r'uvpt\.image_cache=True must be of type str \| None'),
        ('uvpt = dict(max_skipped_in_a_row=0.5)', r'max_skipped_in_a_row=0\.5 must be of type int'),
        ('image_cache = 3', r'uvpt\.image_cache=3 must be of type str \| None'),
        (
            "model = dict(type='EncoderDecodr')",
            r'mine\.py: model\.type=EncoderDecodr: nothing is called so; nearest is EncoderDecoder'
            r'\. .* custom_imports',
        ),
        (
            'model = dict(decode_head=dict(dropout_ration=0.1))',
            r"model\.decode_head: DAFormerHead takes no 'dropout_ration'; nearest is dropout_ratio",
        ),
        (
            "custom_hooks = [dict(type='EMAHok')]",
            r'custom_hooks\.0\.type=EMAHok: nothing is called so; nearest is EMAHook',
        ),
        (
            "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', scal=(8, 8))]))",
            r"train_dataloader\.dataset\.pipeline\.0: Resize takes no 'scal'; nearest is scale",
        ),
    ],
)
def test_what_a_file_says_is_checked(tmp_path, source_config, entry, reason):
    config = tmp_path / 'mine.py'
    config.write_text(f'_base_ = {str(source_config)!r}\n{entry}\n')
    with pytest.raises(UserError, match=reason):
        resolved(config)


@pytest.mark.parametrize(
    'entry',
    [
        "model = dict(decode_head=dict(norm_cfg=dict(type='SyncBN', requires_grad=True)))",
        "model = dict(backbone=dict(norm_cfg=dict(type='LN', eps=1e-6, requires_grad=False)))",
        'train_dataloader = dict(dataset=dict(pipeline=['
        "dict(type='Albu', transforms=[dict(type='RandomBrightnessContrast', p=0.2)])]))",
    ],
)
def test_what_mmseg_s_configs_say_passes(tmp_path, source_config, entry):
    config = tmp_path / 'theirs.py'
    config.write_text(f'_base_ = {str(source_config)!r}\n{entry}\n')
    assert resolved(config)


@pytest.mark.parametrize(
    ('module', 'reason'),
    [
        (None, r"ModuleNotFoundError: No module named 'parts_of_mine'\. .* PYTHONPATH$"),
        (
            'import os\nimport resizd\n',
            r"No module named 'resizd' \(.*parts_of_mine\.py, line 2\)\. .* PYTHONPATH$",
        ),
        (
            'from os import nothing\n',
            r"cannot import name 'nothing' .*parts_of_mine\.py, line 1\)$",
        ),
    ],
)
def test_a_module_of_ones_own_that_cannot_be_imported(
    tmp_path, source_config, monkeypatch, module, reason
):
    """What failed is named, and where, not the module alone."""
    monkeypatch.syspath_prepend(tmp_path)
    if module:
        (tmp_path / 'parts_of_mine.py').write_text(module)
    config = tmp_path / 'mine.py'
    imports = "custom_imports = dict(imports=['mmseg_uvpt.register', 'parts_of_mine'])"
    config.write_text(f'_base_ = {str(source_config)!r}\n{imports}\n')
    with pytest.raises(UserError, match=rf'mine\.py cannot be read: .*{reason}'):
        resolved(config)


def test_what_version_0_1_had_at_the_top(tmp_path, source_config):
    """In files and in options; the later one counts."""
    config = tmp_path / 'mine.py'
    text = f"_base_ = {str(source_config)!r}\nimage_cache = 'a'\nmax_skipped_in_a_row = 3\n"
    config.write_text(text + 'compile = True\n')
    cfg = resolved(config, 'image_cache=b')
    assert (cfg.uvpt.image_cache, cfg.uvpt.max_skipped_in_a_row, cfg.uvpt.compile) == ('b', 3, True)
    assert not {'image_cache', 'max_skipped_in_a_row', 'compile', 'data_root'} & set(cfg)


def test_former_names_are_read_as_ours(tmp_path, source_config):
    """As configs of mmseg and records of version 0.1 name it; in wrappers too."""
    config = tmp_path / 'mine.py'
    inner = "dict(type='CityscapesDataset')"
    wrapped = f"dict(_delete_=True, type='RepeatDataset', times=2, dataset={inner})"
    text = f"_base_ = {str(source_config)!r}\nval_dataloader = dict(dataset=dict(type='City"
    config.write_text(f"{text}scapesDataset'))\ntest_dataloader = dict(dataset={wrapped})\n")
    with config.open('a') as file:
        file.write("model = dict(data_preprocessor=dict(type='GeneralisingPreprocessor'))\n")
    cfg = resolved(config)
    assert cfg.model.data_preprocessor.type == 'AugmentingPreprocessor'
    assert cfg.val_dataloader.dataset.type == 'CheckedCityscapesDataset'
    assert cfg.test_dataloader.dataset.dataset.type == 'CheckedCityscapesDataset'
