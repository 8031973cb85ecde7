"""One training run in its work folder, for source models and for adaptation alike."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmseg_uvpt.acceleration.accelerate import Change, accelerate_as_config_says, table
from mmseg_uvpt.acceleration.amp import half_type
from mmseg_uvpt.checkpoints.hub import OPTION, local_file
from mmseg_uvpt.engine.config.complete import complete, use_cache
from mmseg_uvpt.engine.config.normalisation import initial_weights, normalisation_warning
from mmseg_uvpt.engine.config.required import require_data, require_file, require_parts
from mmseg_uvpt.engine.config.stream import ANEW, is_stream
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.hooks.interruption import Interruption
from mmseg_uvpt.engine.hooks.order import training_hooks
from mmseg_uvpt.engine.hooks.status_line import StatusLineHook
from mmseg_uvpt.engine.inference.loop import loop_config
from mmseg_uvpt.engine.training.runner import build_runner
from mmseg_uvpt.engine.training.schedule import check_loop
from mmseg_uvpt.engine.work_folder import claim
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.engine.work_folder.lock import locked
from mmseg_uvpt.errors import UserError

WEIGHTS = 'get them (model/README.md), or name others: --cfg-options ' + OPTION + '=FILE'


def train(
    cfg: Config,
    command: str,
    resume: bool = False,
    anyway: bool = False,
    validate: bool = True,
) -> None:
    """Train what ``cfg`` describes; evaluations and checkpoints go into ``cfg.work_dir``.

    Args:
        cfg: resolved config.
        command: the command line, for the record.
        resume: continue from the last checkpoint of the work folder.
        anyway: continue likewise, though config, seed, number of processes or data set differ.
        validate: evaluate as the config says; otherwise never.

    Raises:
        UserError: data, checkpoints or pseudo labels are missing; the work folder holds another
            run, or is in use; no space is left; losses are not finite.
        Stopped: a signal asked for it.
    """
    require_parts(cfg, 'model', 'optim_wrapper', 'train_cfg')
    check_loop(cfg)
    resume = resume or anyway or _goes_on(cfg)
    if cfg.get('load_from') and not resume:
        cure = 'name a checkpoint of such a model, or None to begin without'
        require_file(cfg.load_from, 'load_from', cure)
    said = uvpt_config(cfg)
    if said.amp:
        set_mixed_precision(cfg)
    require_data(cfg, 'train_dataloader')
    if not validate or cfg.get('val_dataloader') is None:
        _without_evaluations(cfg)
    else:
        require_data(cfg, 'val_dataloader')
        cfg.val_cfg = loop_config(cfg.get('val_cfg'), 'val')
    if not resume and (weights := initial_weights(cfg)):
        require_file(local_file(weights), 'ImageNet weights', WEIGHTS)
    complete(cfg)
    interruption = Interruption()
    with interruption.listening(), readable_failures(cfg.work_dir, lambda: _cure(cfg)):
        if not Path(cfg.work_dir).is_dir():  # a folder that cannot be used is not made either
            claim.claim(cfg, resume, anyway)
        with locked(cfg.work_dir, cfg.get('launcher', 'none'), command):
            claimed = claim.claim(cfg, resume, anyway)
            use_cache(cfg, said.image_cache, 'train_dataloader', 'val_dataloader')
            changes: list[Change] = []
            hooks = training_hooks(cfg, command, interruption, changes, claimed.checkpoint, anyway)
            runner = build_runner(_of_start(cfg, resume, claimed.checkpoint), hooks)
            runner.follows_config = claimed.follows_config
            changes += accelerate_as_config_says(runner.model, said, cfg)
            runner.logger.info(table(changes))
            for warning in filter(None, (normalisation_warning(cfg), *claimed.warnings)):
                runner.logger.warning(warning)
            try:
                runner.train()
            finally:
                runner.end_workers()
                for hook in hooks:
                    if isinstance(hook, StatusLineHook):
                        hook.close()


def _goes_on(cfg: Config) -> bool:
    """Tell whether the config has the run of its folder continued, if there is one (``resume``)."""
    if not isinstance(cfg.get('resume', False), bool):
        raise UserError(f'resume={cfg.resume!r}: must be True or False')
    return cfg.get('resume', False) and (Path(cfg.work_dir) / claim.CONFIG).is_file()


def _of_start(cfg: Config, resume: bool, checkpoint: Path | None) -> Config:
    """Return the config of this start of a run, which may go on from a checkpoint."""
    start = copy.deepcopy(cfg)
    start.resume = resume
    if checkpoint:
        start.load_from = str(checkpoint)
    return start


def _without_evaluations(cfg: Config) -> None:
    """Make a config one of a training that is never evaluated, in place."""
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint:
        checkpoint.save_best = None


def _cure(cfg: Config) -> str:
    if is_stream(cfg):
        return ANEW
    if (Path(cfg.work_dir) / claim.CONFIG).is_file():
        return 'run the same command with --resume; checkpoints written so far are whole'
    return 'run the same command again'  # there is nothing to resume yet


def set_mixed_precision(cfg: Config) -> None:
    """Choose bfloat16, or float16 with a loss scale on GPUs that lack it."""
    if half_type(get_device()) == torch.float16:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
    else:
        cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
