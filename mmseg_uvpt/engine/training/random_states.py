"""The states of random numbers, and a model that evaluates without a trace in them."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


def random_states() -> dict:
    """Return the states of Python's, numpy's and torch's random numbers: tensors and plain values,
    which `torch.load` reads with ``weights_only``."""
    version, words, next_gauss = random.getstate()
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    states = {
        'python': (version, torch.tensor(words), next_gauss),
        'numpy': (kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss),
        'torch': torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def restore_random_states(states: dict) -> None:
    """Take back what `random_states` returned; the GPU's is left out where there is no GPU."""
    version, words, next_gauss = states['python']
    random.setstate((version, tuple(words.tolist()), next_gauss))
    kind, keys, *rest = states['numpy']
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states['torch'].cpu())
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Let a model evaluate within the block; mode and random numbers are as before it, then."""
    states, was_training = random_states(), model.training
    model.eval()
    yield
    model.train(was_training)
    restore_random_states(states)
