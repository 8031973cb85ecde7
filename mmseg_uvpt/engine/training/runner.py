"""The runner that all scripts use."""

import copy
import inspect
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, Runner
from timm.layers import convert_sync_batchnorm
from torch import nn

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.loading import load_initial_weights
from mmseg_uvpt.datasets import loader_workers
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.engine.config.complete import drop_unused
from mmseg_uvpt.engine.training import distributed
from mmseg_uvpt.engine.training.parameter_counts import parameter_counts
from mmseg_uvpt.engine.training.schedule import schedulers
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.ops.backends import check_forced

_BEGUN: Counter[str] = Counter()  # runs of this process by the second they began in


class ProjectRunner(Runner):
    """mmengine's `Runner` where our work folders follow other rules.

    Args:
        hooks: all hooks of the run; None for those of the config.
        **kwargs: as mmengine's takes them.
    """

    follows_config = False  # what `Claim` says of a run that goes on

    def __init__(self, hooks: Sequence[Hook] | None = None, **kwargs) -> None:
        self._given = hooks
        super().__init__(**kwargs)

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
        described = env_cfg.get('dist_cfg') or {}
        distributed.join(self._launcher, described.get('timeout', distributed.TIMEOUT))
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
        elif self.distributed and self.cfg.get('sync_bn') == 'torch':
            # mmengine would drop the activations that timm's norms have in them
            model = convert_sync_batchnorm(model)
            self.cfg.sync_bn = None  # done
        return super().wrap_model(model_wrapper_cfg, model)

    def _init_model_weights(self) -> None:
        """Initialise the model, then load what its training begins with."""
        super()._init_model_weights()
        goes_on = self._resume and self._load_from is not None
        load_initial_weights(without_wrapper(self.model), imagenet=not goes_on)

    def load_or_resume(self) -> None:
        """Resume from the checkpoint that `claim` chose, which is one of this work folder.

        Otherwise load the weights of ``load_from``, if the config has it. mmengine would follow
        ``last_checkpoint``, which may name a file that is gone, and would resume from any other
        file, too.
        """
        # that of process 0, which alone has waited until an earlier run had written its last one
        chosen = [self._load_from, self._resume]
        broadcast_object_list(chosen)
        self._load_from, self._resume = chosen
        if self._load_from is not None:
            own = Path(self._load_from).resolve().parent == Path(self.work_dir).resolve()
            self._resume = self._resume and own
            super().load_or_resume()

    def resume(self, *args, **kwargs) -> None:
        """Resume as mmengine does, with the config's optimiser and schedule if it has new ones.

        mmengine takes all numbers of both from the checkpoint. Here the schedule is stepped anew
        from the first iteration, so that a longer training, say, has the learning rates that it
        would have had from its beginning.
        """
        groups = [{**group} for group in self.optim_wrapper.param_groups]
        states = [copy.deepcopy(each.state_dict()) for each in self.param_schedulers or ()]
        super().resume(*args, **kwargs)
        if not self.follows_config:
            return
        for group, said in zip(self.optim_wrapper.param_groups, groups, strict=True):
            group.update(said, params=group['params'])
        for each, state in zip(self.param_schedulers or (), states, strict=True):
            each.load_state_dict(state)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', UserWarning)  # of steps before the optimiser's
            for each in [*(self.param_schedulers or ())] * self.iter:
                each.step()

    def end_workers(self) -> None:
        """End the workers of the loaders of training, evaluation and test."""
        if isinstance(self._train_loop, BaseLoop):
            loader_workers.end(self._train_loop.dataloader_iterator._iterator)
        for loop in (self._val_loop, self._test_loop):
            if isinstance(loop, BaseLoop):
                loader_workers.end(loop.dataloader._iterator)

    def build_val_loop(self, *args, **kwargs):
        """Build the loop of evaluations, and say how to do without if its data set is damaged."""
        try:
            return super().build_val_loop(*args, **kwargs)
        except DataError as error:
            raise UserError(
                f'val_dataloader: {error}. Or train without evaluations: --no-validate'
            ) from error

    def build_param_scheduler(self, *args, **kwargs):
        """Build the schedule, and say so if it is over before the training or never."""
        ends = {part.get('end', self.max_iters) for part in schedulers(self.cfg)}
        if ends and max(ends) != self.max_iters:
            self.logger.warning(
                f'the schedule ends after {max(ends)} iterations, the training after '
                f'{self.max_iters} (train_cfg.max_iters): the config states an `end` of its own'
            )
        return super().build_param_scheduler(*args, **kwargs)

    def register_hooks(self, default_hooks: dict | None = None, custom_hooks=None) -> None:
        """Register the hooks that were given, or else those of the config."""
        if self._given is None:
            super().register_hooks(default_hooks, custom_hooks)
        for hook in self._given or ():
            self.register_hook(hook)


def build_runner(cfg: Config, hooks: Sequence[Hook] | None = None) -> ProjectRunner:
    """Build the runner that ``cfg`` describes and log its model's numbers of parameters.

    Args:
        cfg: resolved config; nothing is left of it that torch refuses.
        hooks: all hooks of the run; None for those of the config.
    """
    check_forced(get_device())
    drop_unused(cfg)
    # as it stands in logs it is not laid out: 3 s each of five times, if paths are long
    arguments = copy.deepcopy(cfg)
    object.__setattr__(arguments, '_format_python_code', False)
    known = inspect.signature(Runner).parameters
    runner = ProjectRunner(
        hooks, cfg=arguments, **{name: arguments[name] for name in known if name in arguments}
    )
    runner.logger.info(str(parameter_counts(without_wrapper(runner.model))))
    return runner
