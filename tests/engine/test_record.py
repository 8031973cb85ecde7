"""What a work folder records is what ran."""

import re

import pytest
from mmengine.config import Config
from mmseg.registry import TRANSFORMS

from mmseg_uvpt.datasets.seeded_batches import PlacedSampler, data_set_of
from mmseg_uvpt.engine.scripts import train
from mmseg_uvpt.engine.training import run as training


@pytest.fixture
def adapt(tmp_path, adaptation_config, finished, data_root, request, monkeypatch):
    """Run an adaptation of one iteration; return its runner and its work folder."""
    request.getfixturevalue('pseudo_labels')
    built, build = [], training.build_runner

    def noted(*args, **kwargs):
        built.append(build(*args, **kwargs))
        return built[-1]

    monkeypatch.setattr(training, 'build_runner', noted)

    def start(*options: str, config=adaptation_config):
        files = ['--source-checkpoint', str(finished / 'iter_4.pth'), '--data-root', str(data_root)]
        folder = tmp_path / f'run{len(built)}'
        more = ['--cfg-options', 'train_cfg.max_iters=1', *options]
        train.main([str(config), *files, '--work-dir', str(folder), *more])
        return built[-1], folder

    return start


def name(thing: object) -> str:
    return type(thing).__name__


def named(config) -> list[str]:
    """Return the types of a list of configs, of a dict of them, or of one."""
    if isinstance(config, dict):
        config = [config] if 'type' in config else config.values()
    return [part.type for part in config]


@pytest.mark.parametrize('options', [(), ('uvpt.image_cache={}',)])
def test_the_record_names_what_was_built(adapt, tmp_path, options):
    runner, folder = adapt(*(option.format(tmp_path / 'cache') for option in options))
    record = Config.fromfile(folder / 'config.py')
    assert name(runner.train_loop) == record.train_cfg.type
    assert name(runner.val_loop) == record.val_cfg.type
    assert name(runner.optim_wrapper) == record.optim_wrapper.type
    assert name(runner.optim_wrapper.optimizer) == record.optim_wrapper.optimizer.type
    assert name(runner.visualizer) == record.visualizer.type
    assert [name(part) for part in runner.param_schedulers] == named(record.param_scheduler)
    assert [name(part) for part in runner.val_evaluator.metrics] == named(record.val_evaluator)
    for config, loader in (
        (record.train_dataloader, runner.train_dataloader),
        (record.val_dataloader, runner.val_dataloader),
    ):
        dataset, sampler = data_set_of(loader), loader.sampler
        assert name(dataset) == config.dataset.type
        sampler = sampler.sampler if isinstance(sampler, PlacedSampler) else sampler
        assert name(sampler) == config.sampler.type
        kinds = [type(step) for step in dataset.pipeline.transforms]
        assert kinds == [TRANSFORMS.get(kind) for kind in named(config.dataset.pipeline)]
    hooks = {name(hook) for hook in runner.hooks}
    assert {hook.type for hook in record.default_hooks.values() if hook} <= hooks
    assert len(hooks) == len(runner.hooks)


def test_the_table_in_the_log_has_all_hooks_in_their_order(adapt):
    runner, folder = adapt()
    log = next(folder.glob('*/*.log')).read_text()
    table = log.split('Hooks will be executed in the following order:')[1]
    listed = {
        stage: re.findall(r'^\(\w+ *\) (\w+)', lines, re.MULTILINE)
        for stage, lines in re.findall(r'^(\w+):\n((?:\(.*\n)+)', table, re.MULTILINE)
    }
    assert set().union(*listed.values()) == {name(hook) for hook in runner.hooks}
    for stage, names in listed.items():
        called = [name(hook) for hook in runner.hooks if stage in hook.get_triggered_stages()]
        assert names == called
