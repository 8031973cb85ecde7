"""One training run in its work folder, for source models and for adaptation alike."""

import copy
from pathlib import Path

import torch
from mmengine.config import Config

from mmseg_uvpt.engine import run_folder
from mmseg_uvpt.engine.configuration import require_data
from mmseg_uvpt.engine.failures import readable_failures
from mmseg_uvpt.engine.missed_evaluation import MissedEvaluationHook
from mmseg_uvpt.engine.provenance import ProvenanceHook
from mmseg_uvpt.engine.runner import build_runner
from mmseg_uvpt.errors import UserError


def train(cfg: Config, command: str, resume: bool = False, amp: bool = False) -> None:
    """Train what ``cfg`` describes; evaluations and checkpoints go into ``cfg.work_dir``.

    Args:
        cfg: resolved config.
        command: the command line, for the record.
        resume: continue from the last checkpoint of the work folder.
        amp: use mixed precision.

    Raises:
        UserError: data, checkpoints or pseudo labels are missing; the work folder holds another
            run; there is no GPU for ``amp``; no space is left.
    """
    if amp:
        _mixed_precision(cfg)
    require_data(cfg, 'train_dataloader', 'val_dataloader')
    with readable_failures(cfg.work_dir, lambda: _cure(cfg.work_dir)):
        checkpoint = run_folder.claim(cfg, resume)
        record = copy.deepcopy(cfg)
        cfg.resume = resume
        cfg.load_from = checkpoint and str(checkpoint)
        runner = build_runner(cfg)
        runner.register_hook(ProvenanceHook(record, command, checkpoint))
        if checkpoint:
            runner.register_hook(MissedEvaluationHook())
        runner.train()


def _cure(folder: str) -> str:
    if (Path(folder) / run_folder.CONFIG).is_file():
        return 'run the same command with --resume; checkpoints written so far are whole'
    return 'run the same command again'  # there is nothing to resume yet


def _mixed_precision(cfg: Config) -> None:
    if not torch.cuda.is_available():
        raise UserError('--amp needs a GPU, and torch finds none here: run without --amp')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
