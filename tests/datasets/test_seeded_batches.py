"""Batches depend on their place in the run: on no worker, and on nothing drawn before."""

import random

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.runner import Runner

from mmseg_uvpt.datasets.seeded_batches import PlacedSampler, seed_batches, seeded


@TRANSFORMS.register_module()
class DrawEverything:
    """Adds a number of each of the generators that transforms may draw from."""

    def __call__(self, results: dict) -> dict:
        drawn = random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002
        return {'index': results['sample_idx'], 'drawn': drawn}


@DATASETS.register_module()
class TenNumbers(BaseDataset):
    def load_data_list(self) -> list[dict]:
        return [{'number': i} for i in range(10)]


@pytest.fixture
def batches():
    """Return the batches from one place to another."""

    def load(begin: int, end: int, workers: int = 0, seed: int = 5) -> list:
        config = {
            'batch_size': 3,
            'num_workers': workers,
            'sampler': {'type': 'InfiniteSampler', 'shuffle': True},
            'dataset': {'type': 'TenNumbers', 'pipeline': [{'type': 'DrawEverything'}]},
        }
        loader = Runner.build_dataloader(seed_batches(config, seed), seed=seed)
        loader.sampler.skip(3 * begin)
        iterator = iter(loader)
        found = [next(iterator) for _ in range(end - begin)]
        return [(batch['index'], [list(d) for d in batch['drawn']]) for batch in found]

    return load


def test_workers_and_resuming_change_nothing(batches):
    whole = batches(0, 9)
    assert len({str(drawn) for _, drawn in whole}) == 9
    assert batches(0, 9, workers=2) == whole
    assert batches(0, 4) + batches(4, 9, workers=1) == whole
    assert batches(0, 9, seed=6) != whole


def test_the_process_keeps_its_random_states(batches):
    def draw() -> tuple:
        return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    with seeded(3, 4):
        draw()
    assert draw() == expected


def test_places_of_several_processes_differ(monkeypatch):
    dataset, numbers = range(10), set()
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, 2))
        monkeypatch.setattr(
            'mmseg_uvpt.datasets.seeded_batches.get_dist_info', lambda r=rank: (r, 2)
        )
        sampler = PlacedSampler(dataset, {'type': 'InfiniteSampler'}, seed=1)
        sampler.resumed_at = 8
        sampler.skip(3)  # as mmengine counts; eight samples of two processes are four of each
        places = iter(sampler)
        numbers |= {next(places).number for _ in range(3)}
    assert numbers == {8, 9, 10, 11, 12, 13}
