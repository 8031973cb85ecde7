"""What a checkpoint must hold besides weights and optimiser, so that a run goes on as if it had
never been stopped, and what must be the same as it was then."""

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmseg_uvpt.datasets.seeded_batches import PlacedSampler, data_set_of
from mmseg_uvpt.errors import UserError

KEY = 'exact_resume'


class ExactResumeHook(Hook):
    """Keeps random states, the sampler's place, and what says whether it is the same training.

    Where batches are added up to a step (``accumulative_counts``), gradients are kept, too.

    An evaluation leaves the random states as it found them: a resumed run may have to repeat one
    that had been made already.

    Args:
        anyway: go on though the number of processes or the data set is another one.
    """

    priority = 'HIGHEST'

    def __init__(self, anyway: bool = False):
        self.anyway = anyway
        self._loaded: dict | None = None
        self._begin = 0, 0  # iterations and samples at which this process began
        self._data: dict | None = None  # fingerprint of the training set
        self._states: list[dict] | None = None  # of all processes, for the checkpoint being written
        self._gradients: list[list[Tensor | None]] = []  # likewise; empty after a step
        self._before_evaluation: dict | None = None

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep what the checkpoint says until training begins."""
        self._loaded = checkpoint.get(KEY)

    def before_train(self, runner) -> None:
        """Compare with the run that wrote the checkpoint; put the sampler in its place.

        Raises:
            UserError: the number of processes or the data set differs, and `anyway` is not set.
        """
        self._data = fingerprint(data_set_of(runner.train_dataloader))
        if runner.iter == 0:
            self._loaded = None  # weights of another run (``load_from``)
            return
        if self._loaded is None:
            runner.logger.warning(
                'the checkpoint was written by an older version and holds no random states: the '
                'result will not be exactly that of a run that was never stopped'
            )
            return
        if changes := '; '.join(self._changes(runner)):
            text = f'this is not the run that wrote the checkpoint: {changes}'
            if not self.anyway:
                raise UserError(
                    f'{text}. Give what that run had, choose another --work-dir, or go on all the '
                    'same with --resume-anyway'
                )
            runner.logger.warning(f'{text}; going on as asked for by --resume-anyway')
        self._begin = runner.iter, self._loaded['samples']
        sampler = runner.train_dataloader.sampler
        if isinstance(sampler, PlacedSampler):
            sampler.resumed_at = self._loaded['samples']
        gradients = self._loaded.get('gradients', [])
        if get_rank() < len(gradients) and not runner.optim_wrapper.should_update():
            for parameter, gradient in zip(_trained(runner), gradients[get_rank()], strict=True):
                parameter.grad = None if gradient is None else gradient.to(parameter)
            runner.logger.info('gradients since the last step are those of the checkpoint')

    def _changes(self, runner) -> Iterator[str]:
        there, here = self._loaded['processes'], get_world_size()
        if there != here:
            yield f'it ran in {there} process{"es" * (there > 1)}, this one in {here}'
        there, here = self._loaded['data'], self._data
        if there['images'] != here['images']:
            yield f'its training set had {there["images"]} images, this one has {here["images"]}'
        elif there != here:
            yield f'its training set had other images or another order of its {there["images"]}'

    def before_train_epoch(self, runner) -> None:
        """Restore the random states: training goes on from here."""
        states = (self._loaded or {}).get('random_states', [])
        if get_rank() < len(states):
            restore_random_states(states[get_rank()])

    def before_val(self, runner) -> None:
        """Keep the random states."""
        self._before_evaluation = random_states()

    def after_val(self, runner) -> None:
        """Restore them."""
        restore_random_states(self._before_evaluation)
        self._before_evaluation = None

    def before_checkpoint(self, runner, iterations: int) -> None:
        """Gather the states of all processes; `WholeCheckpointHook` calls this in each."""
        self._states = all_gather_object(self._before_evaluation or random_states())
        self._gradients = []
        if not runner.optim_wrapper.should_update():  # each process has its own until a step
            own = [p.grad if p.grad is None else p.grad.cpu() for p in _trained(runner)]
            self._gradients = all_gather_object(own)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put everything into the checkpoint, but for the best one, which is not resumed from."""
        if self._states is None:
            return
        loader = runner.train_dataloader
        iterations = checkpoint['meta']['iter'] - self._begin[0]
        samples = self._begin[1] + iterations * loader.batch_size * get_world_size()
        checkpoint[KEY] = {
            'random_states': self._states,
            'gradients': self._gradients,
            'samples': samples,
            'processes': get_world_size(),
            'data': self._data,
        }
        self._states, self._gradients = None, []


def _trained(runner) -> list[nn.Parameter]:
    return [p for group in runner.optim_wrapper.optimizer.param_groups for p in group['params']]


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


def fingerprint(dataset: Dataset) -> dict:
    """Return the number of a data set's images, and a hash of their names in their order."""
    root = os.path.join(getattr(dataset, 'data_root', None) or '', '')
    digest = hashlib.sha256()
    for i in range(len(dataset)):
        path = dataset.get_data_info(i).get('img_path', '')
        digest.update(path.removeprefix(root).encode() + b'\0')
    return {'images': len(dataset), 'names': digest.hexdigest()}
