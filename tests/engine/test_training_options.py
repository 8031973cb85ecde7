"""Options that say how a training begins, ends and keeps checkpoints."""

import json
from argparse import Namespace

import killed_runs
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_uvpt.engine.config.complete import complete
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.hooks.interruption import Interruption
from mmseg_uvpt.engine.hooks.order import training_hooks
from mmseg_uvpt.engine.scripts import pretrain
from mmseg_uvpt.errors import UserError

MULTIPLIERS = 'optim_wrapper.paramwise_cfg'


def options(*given: str) -> list[str]:
    return ['--cfg-options', *given]


@pytest.mark.parametrize('number', ['0', '-3', '1.5', 'abc', 'None'])
@pytest.mark.parametrize('name', ['max_iters', 'val_interval'])
def test_no_training_without_iterations(run, tmp_path, name, number):
    with pytest.raises(UserError, match=rf'^train_cfg\.{name}=.*: must be a whole number above 0'):
        run(*options(f'train_cfg.{name}={number}'))
    assert not (tmp_path / 'run').exists()


def test_longer_intervals_than_the_training(run):
    folder = run(*options('train_cfg.max_iters=1', 'default_hooks.checkpoint.interval=50'))
    assert sorted(p.name for p in folder.glob('*.pth')) == ['best_mIoU19_iter_1.pth', 'iter_1.pth']
    recorded = Config.fromfile(folder / 'config.py', import_custom_modules=False)
    assert [part.end for part in recorded.param_scheduler] == [1500, 1]  # of the warm-up, decay


@pytest.mark.parametrize('more', [[], ['--resume']])
def test_epochs_are_refused_at_the_beginning(source_config, data_root, tmp_path, more):
    config = tmp_path / 'epochs.py'
    config.write_text(
        f'_base_ = {str(source_config)!r}\n'
        "train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1)\n"
    )
    where = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'run')]
    told = r"EpochBasedTrainLoop: trainings go by iterations here, with train_cfg=dict\(type='Iter"
    with pytest.raises(UserError, match=told):
        pretrain.main([str(config), *where, *more])


def test_a_schedule_of_epochs_is_refused(source_config, data_root, tmp_path):
    """It would never move."""
    config = tmp_path / 'epochs.py'
    config.write_text(
        f'_base_ = {str(source_config)!r}\nparam_scheduler = [dict(type="PolyLR", end=4)]\n'
    )
    where = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'run')]
    with pytest.raises(UserError, match=r'PolyLR goes by epochs, .* give it by_epoch=False'):
        pretrain.main([str(config), *where])


@pytest.mark.parametrize(
    ('given', 'best'),
    [
        ('None', []),
        pytest.param('[]', [], marks=pytest.mark.slow),
        ('auto', ['best_mIoU']),
        pytest.param('IoU.road', ['best_IoU.road'], marks=pytest.mark.slow),
        ('[mIoU16,aAcc]', ['best_aAcc', 'best_mIoU16']),
    ],
)
def test_best_checkpoints(run, given, best):
    checkpoint = 'default_hooks.checkpoint'
    folder = run(*options(f'{checkpoint}.save_best={given}', f'{checkpoint}.interval=-1'))
    assert [p.name for p in folder.glob('iter_*.pth')] == ['iter_4.pth']
    found = sorted(p.name.rpartition('_iter_')[0] for p in folder.glob('best_*.pth'))
    assert found == best


def test_a_score_that_no_evaluation_gives_is_told_at_the_beginning(run, monkeypatch):
    monkeypatch.setattr('mmengine.runner.IterBasedTrainLoop.run', lambda _: pytest.fail('begun'))
    with pytest.raises(UserError, match=r"save_best is 'mIoU7', but an evaluation gives mIoU, mI"):
        run(*options('default_hooks.checkpoint.save_best=mIoU7'))


@pytest.mark.parametrize('more', [[], ['--no-validate']])
def test_default_hooks_left_out(source_config, data_root, tmp_path, more):
    config = tmp_path / 'none.py'
    config.write_text(
        f'_base_ = {str(source_config)!r}\ndefault_hooks = dict(_delete_=True, timer=None)\n'
    )
    folder = tmp_path / 'run'
    where = ['--data-root', str(data_root), '--work-dir', str(folder)]
    pretrain.main([str(config), *where, *more])
    assert sorted(p.name for p in folder.glob('*.pth')) == ['iter_4.pth']


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('by_epoch=True', 'by_epoch: trainings go by iterations'),
        ('out_dir=elsewhere', "out_dir='elsewhere': checkpoints lie in the --work-dir"),
        ('filename_tmpl=step_{}.pth', r"filename_tmpl='step_{}\.pth': checkpoints are named iter_"),
        ('save_optimizer=False', 'save_optimizer, save_param_scheduler: without these no run goes'),
        ('save_param_scheduler=False', 'without these no run goes on as it was'),
    ],
)
def test_checkpoints_that_resume_would_not_find_are_refused(run, option, message):
    with pytest.raises(UserError, match=message):
        run(*options(f'default_hooks.checkpoint.{option}'))


def test_a_misspelt_argument_of_checkpoints_in_a_file(source_config, data_root, tmp_path):
    config = tmp_path / 'mine.py'
    config.write_text(
        f'_base_ = {str(source_config)!r}\ndefault_hooks = dict(checkpoint=dict(intervall=3))\n'
    )
    where = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'run')]
    with pytest.raises(UserError, match="WholeCheckpointHook has no argument 'intervall'"):
        pretrain.main([str(config), *where])


@pytest.mark.slow
def test_load_from(run, finished, tmp_path):
    """Weights of a finished training give the first loss that they would have had."""
    with pytest.raises(UserError, match=r'load_from no\.pth does not exist'):
        run(*options('load_from=no.pth'))
    checkpoint = finished / 'iter_4.pth'
    folder = run(*options(f'load_from={checkpoint}', 'optim_wrapper.optimizer.lr=0.0'))
    loaded = torch.load(checkpoint)['state_dict']
    kept = torch.load(folder / 'iter_4.pth')
    assert kept['meta']['iter'] == 4
    for name, parameter in loaded.items():
        if name.endswith('weight') and 'bn' not in name:
            torch.testing.assert_close(kept['state_dict'][name], parameter, rtol=0, atol=0)
    first, other = (killed_runs.logged(path, 'loss')[0]['loss'] for path in (folder, finished))
    assert first != other
    recorded = Config.fromfile(folder / 'config.py', import_custom_modules=False)
    assert recorded.load_from == str(checkpoint)
    for path in folder.glob('*.pth'):  # as if it had ended before its first checkpoint
        path.unlink()
    run('--resume', *options(f'load_from={checkpoint}', 'optim_wrapper.optimizer.lr=0.0'))
    again = torch.load(folder / 'iter_4.pth')
    for name, tensor in kept['state_dict'].items():
        torch.testing.assert_close(again['state_dict'][name], tensor, rtol=0, atol=0)


def test_resume_in_the_config(run):
    """It begins a run, and goes on with it."""
    first = run(*options('resume=True', 'train_cfg.max_iters=4'))
    assert len(json.loads((first / 'run.json').read_text())['starts']) == 1
    run(*options('resume=True', 'train_cfg.max_iters=4'))
    assert len(json.loads((first / 'run.json').read_text())['starts']) == 2
    with pytest.raises(UserError, match=r"resume='maybe': must be True or False"):
        run(*options('resume=maybe'))


@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader'])
def test_labels_that_begin_with_one_are_refused(run, loader):
    with pytest.raises(UserError, match=r'Dataset: reduce_zero_label=True: '):
        run(*options(f'{loader}.dataset.reduce_zero_label=True'))


def optimiser_groups(config, *given: str) -> list[tuple]:
    """Return (rate, decay, number of numbers) of each group that a recipe's optimiser has."""
    init_default_scope('mmseg')
    cfg = resolve(Namespace(config=str(config), data_root=None, cfg_options=given))
    wrapper = build_optim_wrapper(MODELS.build(cfg.model), cfg.optim_wrapper)
    return [
        (group['lr'], group['weight_decay'], [p.shape for p in group['params']])
        for group in wrapper.optimizer.param_groups
    ]


def test_groups_are_those_of_custom_keys(tmp_path, adaptation_config):
    """What version 0.1 recorded gives the same groups in the same order: its optimisers load."""
    config = tmp_path / 'recorded.py'
    config.write_text(
        f'_base_ = {str(adaptation_config)!r}\n'
        'optim_wrapper = dict(paramwise_cfg=dict('
        '_delete_=True, norm_decay_mult=0.0, custom_keys={\n'
        "    'backbone.generator': dict(lr_mult=5.0),\n"
        "    'backbone.level_embedding': dict(lr_mult=5.0),\n"
        "    'backbone.adapters': dict(lr_mult=5.0),\n"
        "    'decode_head': dict(lr_mult=10.0)}))\n"
    )
    assert optimiser_groups(config) == optimiser_groups(adaptation_config)


@pytest.mark.parametrize(
    ('given', 'told'),
    [
        ('custom_keys.backbone.generator.lr_mult=10', r"custom_keys has 'backbone': .*lr_mult\.NA"),
        ('custom_keys.decode_head.lr_mult=10', r'two factors for decode_head\..*lr_mult\.head'),
        ('custom_keys.nothing.lr_mult=10', r'no parameter for custom_keys\.nothing'),
        ('lr_mult.head=much', r"lr_mult\.head: 'much' is no number"),
        ('bias_lr_mult=2', r'paramwise_cfg\.bias_lr_mult is not read'),
    ],
)
def test_factors_that_are_wrong(adaptation_config, given, told):
    with pytest.raises(ValueError, match=told):
        optimiser_groups(adaptation_config, f'{MULTIPLIERS}.{given}')


def test_a_source_model_has_no_prompts(run):
    with pytest.raises(UserError, match=r'the model has no parameter for lr_mult\.prompts'):
        run(*options(f'{MULTIPLIERS}.lr_mult.prompts=2'))


def test_exchanged_weights_are_refused(source_config, data_root, tmp_path):
    config = tmp_path / 'averaged.py'
    config.write_text(f"_base_ = {str(source_config)!r}\ncustom_hooks = [dict(type='EMAHook')]\n")
    where = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'run')]
    with pytest.raises(UserError, match=r'EMAHook exchanges weights .*MeanTeacher'):
        pretrain.main([str(config), *where])


def test_hooks_of_mmengine_are_those_of_this_project():
    """The lines of every config of mmseg; a stopped run would write no checkpoint with them."""
    written = {
        'checkpoint': {'type': 'CheckpointHook', 'by_epoch': False, 'interval': 2},
        'runtime_info': {'type': 'RuntimeInfoHook'},
    }
    cfg = Config({'default_hooks': written, 'custom_hooks': [{'type': 'mmengine.CheckpointHook'}]})
    complete(cfg)
    assert cfg.default_hooks.checkpoint.type == 'WholeCheckpointHook'
    assert cfg.default_hooks.checkpoint.interval == 2
    assert cfg.default_hooks.runtime_info.type == 'DeferredRuntimeInfoHook'
    assert cfg.custom_hooks[0].type == 'WholeCheckpointHook'


def test_a_method_that_has_nothing_to_train(adaptation_config):
    given = ('model.type=MeanTeacher', 'model.view_scales=[1.0]', 'model.tuner.type=Statistics')
    with pytest.raises(ValueError, match='MeanTeacher trains nothing with this tuner'):
        optimiser_groups(adaptation_config, *given)


def test_a_training_that_ends_early_leaves_a_checkpoint(source_config, data_root, tmp_path):
    config, folder = tmp_path / 'short.py', tmp_path / 'run'
    config.write_text(
        f'_base_ = {str(source_config)!r}\n'
        "stopping = dict(type='EarlyStoppingHook', monitor='mIoU', min_delta=100, patience=1)\n"
        'custom_hooks = [stopping]\n'
        'train_cfg = dict(val_interval=1)\n'
        'default_hooks = dict(checkpoint=dict(interval=4))\n'
    )
    pretrain.main([str(config), '--data-root', str(data_root), '--work-dir', str(folder)])
    assert [path.name for path in folder.glob('iter_*.pth')] == ['iter_2.pth']


@pytest.mark.parametrize('place', ['default_hooks', 'custom_hooks'])
def test_statistics_are_renewed_before_the_method_begins(adaptation_config, place):
    """By whatever name: a teacher and anchors are copies of the model that begins."""
    cfg = resolve(Namespace(config=str(adaptation_config), data_root=None, cfg_options=[]))
    hook = {'type': 'RenewStatisticsHook'}
    cfg.merge_from_dict(
        {'default_hooks.mine': hook} if place == 'default_hooks' else {place: [hook]}
    )
    complete(cfg)
    hooks = training_hooks(cfg, 'train.py', Interruption(), [])
    kinds = [type(each).__name__ for each in hooks]
    assert kinds.index('RenewStatisticsHook') < kinds.index('MethodHook')
