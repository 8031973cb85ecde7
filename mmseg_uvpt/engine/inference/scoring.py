"""Scoring one checkpoint."""

import json
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

import mmseg_uvpt.engine.inference.loop  # noqa: F401
from mmseg_uvpt.acceleration.accelerate import accelerate_as_config_says
from mmseg_uvpt.engine.config.reading import parts_of_type, require_data, require_file
from mmseg_uvpt.engine.hooks.class_counts import ClassCountHook
from mmseg_uvpt.engine.inference.prediction_files import PredictionFilesHook
from mmseg_uvpt.engine.training.runner import build_runner
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object, write_json


def score(
    cfg: Config,
    checkpoint: str,
    command: str,
    out: str | None = None,
    show_dir: str | None = None,
    aug_test: bool = False,
    amp: bool = False,
) -> dict[str, float]:
    """Score ``checkpoint`` with the test data, metric and model of ``cfg``.

    The result goes to ``out`` as JSON; environment, config and command go into this start's own
    folder of the work folder, beside its log, so that a training's are not touched.

    Args:
        cfg: resolved config.
        checkpoint: file to score.
        command: the command line, for the record.
        out: JSON file; by default in the work folder, named after the checkpoint and
            its folder.
        show_dir: folder for coloured predictions.
        aug_test: average over the config's ``tta_pipeline``.
        amp: let the network compute in half precision.

    Returns:
        dict: what the metric reports.

    Raises:
        UserError: checkpoint or data are missing, or the checkpoint does not fit the config.
    """
    require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
    require_data(cfg, 'test_dataloader')
    if out and Path(out).suffix != '.json':
        raise UserError(f'--out {out}: the result is written as JSON, name a file *.json')
    suffix = '_aug' if aug_test else ''
    file = Path(checkpoint).resolve()  # two runs have an iter_80000.pth each
    name = f'test_{file.parent.name}_{file.stem}{suffix}.json'
    out = out or str(Path(cfg.work_dir) / name)
    _refuse_other_file(Path(out))
    counts = parts_of_type(cfg.test_evaluator, 'DomainIoUMetric')
    for metric in counts:
        metric['out_json'] = out
    if aug_test:
        _augment(cfg)
    cfg.load_from, cfg.resume = checkpoint, False
    cfg.test_cfg = {**(cfg.get('test_cfg') or {}), 'type': 'ScoringLoop', 'amp': amp}
    facts = provenance.of_predictions(cfg, checkpoint, command) if show_dir else {}
    with readable_failures(cfg.work_dir):
        runner = build_runner(cfg)
        runner.model.requires_grad_(False)  # see `WindowAttention`
        accelerate_as_config_says(runner.model, cfg)
        runner.register_hook(ClassCountHook())
        if show_dir:
            runner.register_hook(PredictionFilesHook(show_dir, facts))
        start = provenance.start_of(cfg, command, runner.seed)
        provenance.write(runner._log_dir, cfg, start)
        metrics = runner.test()
        if is_main_process():
            # other metrics write no file
            result = json.loads(Path(out).read_text()) if counts else {'metrics': _plain(metrics)}
            write_json(
                out, {**start, 'checkpoint': checkpoint, 'aug_test': aug_test, 'amp': amp, **result}
            )
    return metrics


def _augment(cfg: Config) -> None:
    """Wrap the model and replace the test pipeline for test-time augmentation, in place."""
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise UserError(
            f'--aug-test needs tta_model and tta_pipeline, which {cfg.filename} lacks; '
            'configs/_base_/datasets/cityscapes.py has them'
        )
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline


def _refuse_other_file(path: Path) -> None:
    """Raise a `UserError` where the result would replace anything but an earlier one."""
    if os.path.lexists(path):
        cure = 'it is no result of a test and would be overwritten; name another file with --out'
        if not read_object(path, cure).keys() & {'checkpoint', 'intersection'}:
            raise UserError(f'{path} exists: {cure}')


def _plain(metrics: dict) -> dict:
    """Return numbers of numpy as those of Python, which JSON takes."""
    return {name: float(value) for name, value in metrics.items()}
