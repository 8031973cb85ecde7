"""How many workers read for a pass that only predicts."""

import os

import pytest
from mmengine.config import Config

from mmseg_uvpt.datasets import loader_workers
from mmseg_uvpt.datasets.loader_workers import inference_loader
from mmseg_uvpt.engine.work_folder.claim import differences

RECIPE = 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'


@pytest.mark.parametrize(
    ('processors', 'processes', 'expected'), [(6, 1, 6), (64, 1, 8), (64, 16, 4), (2, 4, 1)]
)
def test_a_worker_a_processor_of_the_process(processors, processes, expected, monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(processors)))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', str(processes))
    assert inference_loader({'batch_size': 1})['num_workers'] == expected
    for asked in (0, 14):
        assert inference_loader({'num_workers': asked})['num_workers'] == asked


@pytest.mark.parametrize(('chosen', 'expected'), [(None, 'fork'), ('spawn', 'spawn')])
def test_workers_are_forked_unless_something_else_was_chosen(chosen, expected, monkeypatch):
    """Python's own default differs by its version."""
    monkeypatch.setattr(loader_workers, 'get_start_method', lambda allow_none: chosen)
    assert inference_loader({'num_workers': 1})['multiprocessing_context'] == expected
    assert inference_loader({'num_workers': 0}) == {'num_workers': 0}  # torch takes none there


def test_a_recipe_is_the_same_on_every_machine(monkeypatch):
    """A training goes on where there are more processors."""
    configs = []
    for processors in (2, 64):
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _, n=processors: set(range(n)))
        configs.append(Config.fromfile(RECIPE))
    assert not list(differences(*configs))
    for name in ('test_dataloader', 'target_train_dataloader'):
        assert 'num_workers' not in configs[0][name]
    assert configs[0].val_dataloader.num_workers == 2  # beside a training
