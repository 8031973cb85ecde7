"""The runner that all scripts use."""

import logging
from collections import Counter

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner
from torch import nn

import mmseg_uvpt.engine.hooks.whole_checkpoint
import mmseg_uvpt.engine.training.optimizer
import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.loading import load_initial_weights
from mmseg_uvpt.datasets import loader_workers
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.image_cache import through_cache
from mmseg_uvpt.datasets.seeded_batches import seed_batches
from mmseg_uvpt.engine.hooks.skipped_iterations import CHECKED
from mmseg_uvpt.engine.training import distributed
from mmseg_uvpt.engine.training.parameter_counts import parameter_counts
from mmseg_uvpt.engine.training.schedule import schedulers
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.ops.backends import check_forced

_BEGUN: Counter[str] = Counter()  # runs of this process by the second they began in


class ProjectRunner(Runner):
    """mmengine's `Runner` where our work folders follow other rules."""

    def dump_config(self) -> None:
        """Write nothing; `provenance.write` does.

        mmengine writes the config as soon as a runner is built, over what is there: a test would
        replace the config of the training whose folder it uses.
        """

    def setup_env(self, env_cfg: dict) -> None:
        """Join the other processes, also where there is no GPU, and name the run by the time.

        mmengine finds loggers and folders by that name, to the second; the next run of the same
        second would write to those of the first.
        """
        distributed.join(self._launcher)
        super().setup_env(env_cfg)
        earlier = _BEGUN[self._timestamp]
        _BEGUN[self._timestamp] += 1
        if earlier:
            self._timestamp += f'_{earlier}'

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Build mmengine's logger, which takes file names that are no UTF-8."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.stream.reconfigure(errors='backslashreplace')
        return logger

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Wrap the model for several processes, also where there is no GPU."""
        if self.distributed and not torch.cuda.is_available():
            unused = self.cfg.get('find_unused_parameters', False)
            model, model_wrapper_cfg = distributed.on_cpu(model, model_wrapper_cfg, unused)
            self.cfg.sync_bn = None  # done
        return super().wrap_model(model_wrapper_cfg, model)

    def _init_model_weights(self) -> None:
        """Initialise the model, then load what its training begins with."""
        super()._init_model_weights()
        load_initial_weights(without_wrapper(self.model))

    def load_or_resume(self) -> None:
        """Load or resume from the file that `run_folder.claim` chose, if it chose one.

        Otherwise the weights of ``load_from``, if the config has it. mmengine would follow
        ``last_checkpoint``, which may name a file that is gone.
        """
        if self._load_from is not None:
            super().load_or_resume()

    # what mmengine builds only when training or testing starts

    def build_train_loop(self, *args, **kwargs):
        """Build the loop and its data loader.

        Its batches depend on their place in the run alone (`datasets.seeded_batches`).
        """
        if isinstance(self._train_dataloader, dict):
            loader = through_cache(self._train_dataloader, self.cfg.get('image_cache'))
            self._train_dataloader = seed_batches(loader, self.seed)
        return super().build_train_loop(*args, **kwargs)

    def end_workers(self) -> None:
        """End the workers of the loaders of training and evaluation."""
        if isinstance(self._train_loop, BaseLoop):
            loader_workers.end(self._train_loop.dataloader_iterator._iterator)
        if isinstance(self._val_loop, BaseLoop):
            loader_workers.end(self._val_loop.dataloader._iterator)

    def build_val_loop(self, *args, **kwargs):
        """Do as `build_train_loop`."""
        cache = self.cfg.get('image_cache')
        self._val_dataloader = through_cache(self._val_dataloader, cache)
        try:
            return super().build_val_loop(*args, **kwargs)
        except DataError as error:
            raise UserError(
                f'val_dataloader: {error}. Or train without evaluations: --no-validate'
            ) from error

    def build_test_loop(self, *args, **kwargs):
        """Do as `build_train_loop`."""
        cache = self.cfg.get('image_cache')
        if isinstance(self._test_dataloader, dict):
            self._test_dataloader = loader_workers.that_read(self._test_dataloader)
        self._test_dataloader = through_cache(self._test_dataloader, cache)
        return super().build_test_loop(*args, **kwargs)

    def build_param_scheduler(self, *args, **kwargs):
        """Build the schedule, and say so if it is over before the training or never."""
        ends = {part.get('end', self.max_iters) for part in schedulers(self.cfg)}
        if ends and max(ends) != self.max_iters:
            self.logger.warning(
                f'the schedule ends after {max(ends)} iterations, the training after '
                f'{self.max_iters} (train_cfg.max_iters): the config states an `end` of its own'
            )
        return super().build_param_scheduler(*args, **kwargs)

    def register_default_hooks(self, hooks: dict | None = None) -> None:
        """Register hooks that every run has: this project's where a config leaves them out."""
        own = {
            'runtime_info': {'type': 'DeferredRuntimeInfoHook'},
            'checkpoint': {'type': 'WholeCheckpointHook'},
        }
        super().register_default_hooks(own | (hooks or {}))


def _without_workers(cfg: Config) -> None:
    """Drop what torch refuses of a data loader without workers, in place."""
    for name, loader in cfg.items():
        if name.endswith('_dataloader') and loader and loader.get('num_workers') == 0:
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)


def build_runner(cfg: Config) -> ProjectRunner:
    """Build the runner that ``cfg`` describes and log its model's numbers of parameters."""
    check_forced(get_device())
    _without_workers(cfg)
    if 'optim_wrapper' in cfg:
        wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
        cfg.optim_wrapper.type = CHECKED.get(wrapper, wrapper)
    runner = ProjectRunner.from_cfg(cfg)
    runner.logger.info(str(parameter_counts(without_wrapper(runner.model))))
    return runner
