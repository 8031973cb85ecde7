"""Training batches that depend on their place in the run, not on who loads them.

A random state of a loader's worker is lost with the worker. So none is used: each batch seeds the
random numbers that its crops, flips and augmentations draw by the run's seed and by its place in
the run. With no workers or with several, in one go or resumed, a place has the same batch.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS, FUNCTIONS
from mmseg.registry import DATASETS
from torch.utils.data import Dataset, Sampler


class Place(NamedTuple):
    """A sample and where it comes in the run: the how-manieth of all processes together."""

    number: int
    index: int


class PlacedSampler(Sampler):
    """Says of each index of an endless sampler at which place of the run it comes.

    Args:
        dataset: whose indices these are.
        sampler: config of a sampler that has ``skip`` as mmengine's `InfiniteSampler` has it.
        seed: of the sampler; None for one that the processes agree on.

    Attributes:
        resumed_at: samples that all processes together had trained on when the checkpoint was
            written that the run goes on from; None where mmengine's own count is right.
    """

    def __init__(self, dataset: Dataset, sampler: dict, seed: int | None = None):
        self.sampler = DATA_SAMPLERS.build(sampler, default_args={'dataset': dataset, 'seed': seed})
        self.rank, self.world_size = get_dist_info()
        self.resumed_at: int | None = None
        self._drawn = 0

    def __iter__(self) -> Iterator[Place]:
        for index in self.sampler:
            yield Place(self._drawn * self.world_size + self.rank, index)
            self._drawn += 1

    def __len__(self) -> int:
        return len(self.sampler)

    def skip(self, count: int) -> None:
        """Go on behind the first ``count`` samples of this process, or behind `resumed_at`."""
        if self.resumed_at is not None:
            count = self.resumed_at // self.world_size
        self.sampler.skip(count)
        self._drawn = count

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: an endless sampler counts its epochs itself."""


class SeededBatches(Dataset):
    """A data set that is asked for whole batches, each seeded by its place.

    Args:
        source: config of the data set itself.
        collate: config of the function that puts samples together to a batch.
        run_seed: of the run.
    """

    def __init__(self, source: dict, collate: dict, run_seed: int):
        self.source = DATASETS.build(source)
        self.source.full_init()
        arguments = {key: value for key, value in collate.items() if key != 'type'}
        self._collate = partial(FUNCTIONS.get(collate['type']), **arguments)
        self._seed = run_seed

    @property
    def metainfo(self) -> dict:
        """Of the data set."""
        return self.source.metainfo

    def __len__(self) -> int:
        return len(self.source)

    def __getitems__(self, places: Sequence[Place]) -> Any:
        """Return a collated batch.

        Samples are seeded one by one: they do not depend on how many processes share them out.
        """
        samples = []
        for place in places:
            with seeded(self._seed, place.number):
                samples.append(self.source[place.index])
        with seeded(self._seed, places[0].number, 1):  # of what the batch draws as a whole
            return self._collate(samples)


@contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's (CPU) random numbers within a block only.

    Args:
        numbers: not negative; other numbers give unrelated random numbers.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    seeds = np.random.SeedSequence(numbers).generate_state(3).tolist()
    try:
        random.seed(seeds[0])
        np.random.seed(seeds[1])  # noqa: NPY002 (the transforms draw from this one)
        torch.default_generator.manual_seed(seeds[2])
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def seed_batches(loader: dict, seed: int) -> dict:
    """Return the config of a data loader with seeded batches in the place of its data set.

    Args:
        loader: config as mmengine's runner takes it.
        seed: of the run.

    Returns:
        dict: the config; as it was where its sampler is not endless: then its batches depend on
        the workers.
    """
    if not hasattr(DATA_SAMPLERS.get(loader['sampler']['type']), 'skip'):
        return loader
    return {
        **loader,
        'dataset': {
            'type': SeededBatches,
            'source': loader['dataset'],
            'collate': loader.get('collate_fn') or {'type': 'pseudo_collate'},
            'run_seed': seed,
        },
        'sampler': {'type': PlacedSampler, 'sampler': loader['sampler']},
        'collate_fn': _as_it_is,
    }


def _as_it_is(batch: Any) -> Any:
    return batch


def data_set_of(loader: Any) -> Dataset:
    """Return the data set behind a data loader, seeded or not."""
    dataset = loader.dataset
    return dataset.source if isinstance(dataset, SeededBatches) else dataset


def plain_data_sets(dataset: Dataset) -> Iterator[Dataset]:
    """Yield the data sets that have a pipeline: one itself, and those within wrappers."""
    if hasattr(dataset, 'pipeline'):
        yield dataset
    for within in _within(dataset):
        yield from plain_data_sets(within)


def pipelines(dataset: Dataset, behind: Sequence = ()) -> Iterator[list]:
    """Yield the transforms that samples of each data set pass: its own, then those of wrappers.

    Args:
        dataset: one with a pipeline, or a wrapper.
        behind: transforms that follow all of these.
    """
    own = getattr(dataset, 'pipeline', ())
    transforms = [*getattr(own, 'transforms', own), *behind]  # mmseg's MultiImageMixDataset: a list
    if not (within := _within(dataset)):
        yield transforms
    for each in within:
        yield from pipelines(each, transforms)


def _within(dataset: Dataset) -> list[Dataset]:
    """Return the data sets that a wrapper wraps."""
    wrapped = getattr(dataset, 'dataset', None), *getattr(dataset, 'datasets', ())
    return [each for each in wrapped if each is not None]
