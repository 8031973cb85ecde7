"""Scoring one checkpoint, or writing what a benchmark's server is to score."""

import copy
import json
import os
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log

from mmseg_uvpt.acceleration.accelerate import accelerate_as_config_says, table
from mmseg_uvpt.datasets.loader_workers import inference_loader
from mmseg_uvpt.engine.config.complete import complete, use_cache
from mmseg_uvpt.engine.config.pipelines import without_labels
from mmseg_uvpt.engine.config.required import require_data, require_file
from mmseg_uvpt.engine.config.tta import use_tta_pipeline
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.hooks.order import test_hooks
from mmseg_uvpt.engine.inference.comparing import compare, describe_source
from mmseg_uvpt.engine.inference.loop import loop_config
from mmseg_uvpt.engine.inference.prediction_files import PredictionFilesHook, SubmissionHook
from mmseg_uvpt.engine.inference.result import temperature_in
from mmseg_uvpt.engine.training.runner import build_runner
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.calibration import Calibration
from mmseg_uvpt.evaluation.score import Score
from mmseg_uvpt.files import file_hash, read_object, write_json

_OTHER_FILE = 'name another file with --out'


def score(
    cfg: Config,
    checkpoint: str,
    command: str,
    out: str | None = None,
    show_dir: str | None = None,
    aug_test: bool = False,
    source: str | None = None,
    calibration: bool = False,
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
        source: what ``checkpoint`` was adapted from, to be scored on the same images and compared
            with it; None for no comparison.
        calibration: measure whether confidences can be believed, too, of each model.

    Returns:
        dict: what the metric reports.

    Raises:
        UserError: checkpoint or data are missing, or the checkpoint does not fit the config; or
            ``source`` is no source model that does; or the result would replace another file, or
            in the work folder one of other data.
    """
    require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
    require_data(cfg, 'test_dataloader')
    if out and Path(out).suffix != '.json':
        raise UserError(f'--out {out}: the result is written as JSON, name a file *.json')
    suffix = '_aug' if aug_test else ''
    file = Path(checkpoint).resolve()  # two runs have an iter_80000.pth each
    name = f'test_{file.parent.name}_{file.stem}{suffix}.json'
    made = {
        'checkpoint': checkpoint,
        'aug_test': aug_test,
        'amp': uvpt_config(cfg).amp,
        'dataset': json.loads(json.dumps(cfg.test_dataloader.dataset, default=str)),
    }
    if out:
        _earlier_result(out)
    else:
        out = str(Path(cfg.work_dir) / name)
        asked = {'comparison': source, 'calibration': calibration}
        _refuse_to_lose(out, made['dataset'], {part for part in asked if asked[part]})
    _prepare(cfg, aug_test)
    if calibration:
        used = cfg.test_evaluator
        temperature = temperature_in(cfg.model.get('test_cfg') or {})
        of_confidence = {'type': 'CalibrationMetric', 'temperature': temperature}
        cfg.test_evaluator = [*(used if isinstance(used, list) else [used]), of_confidence]
    facts = provenance.of_predictions(cfg, checkpoint, command) if show_dir else {}
    of_source = copy.deepcopy(cfg)
    if source:
        describe_source(of_source, checkpoint, source)
    with readable_failures(cfg.work_dir):
        shown = [PredictionFilesHook(show_dir, facts)] if show_dir else []
        start, metrics, found, sure = _test(cfg, checkpoint, command, *shown)
        *_, baseline, before = _test(of_source, source, command) if source else (None, None)
        if is_main_process():
            made['checkpoint_sha256'] = file_hash(checkpoint)
            result = {**start, **made, **_result(found, metrics)}
            if source:
                result['comparison'] = compare(cfg, source, baseline, found)
            if calibration:
                result['calibration'] = sure.to_json()
            if calibration and source:
                result['comparison']['source_calibration'] = before.to_json()
                print_log(f'source: {before.line()}\nadapted: {sure.line()}', 'current')
            write_json(out, result)
            print_log(f'wrote {out}', 'current')
    return metrics


def format_only(
    cfg: Config, checkpoint: str, command: str, folder: str, aug_test: bool = False
) -> None:
    """Write the predictions of ``checkpoint`` as the data set's benchmark asks for them.

    No label is read, so that the images may be those of a test split. See `SubmissionHook`.

    Args:
        cfg: resolved config; what ``test_dataloader`` reads is predicted.
        checkpoint: of the model.
        command: the command line, for the record.
        folder: to write to.
        aug_test: average over the config's ``tta_pipeline``.

    Raises:
        UserError: checkpoint or data are missing, or the checkpoint does not fit the config; or no
            such server is known.
    """
    require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
    require_data(cfg, 'test_dataloader')
    _prepare(cfg, aug_test)
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = without_labels(dataset.pipeline)
    cfg.test_evaluator = []
    hook = SubmissionHook(folder, provenance.of_predictions(cfg, checkpoint, command))
    with readable_failures(cfg.work_dir):
        _test(cfg, checkpoint, command, hook)
        print_log(f'wrote {folder}: put its PNG files into one archive for the server', 'current')


def _prepare(cfg: Config, aug_test: bool) -> None:
    if aug_test:
        use_tta_pipeline(cfg, 'test_dataloader')
    cfg.resume = False
    cfg.test_cfg = loop_config(cfg.get('test_cfg'), 'test')


def _test(
    cfg: Config, checkpoint: str, command: str, *hooks: Hook
) -> tuple[dict, dict, Score | None, Calibration | None]:
    """Test a checkpoint.

    Returns:
        tuple: facts of the start; what the metrics report; the score and the calibration of the
        project's own ones, None where they are not used, and in other processes than the main one.
    """
    said = uvpt_config(cfg)
    cfg.load_from = checkpoint
    complete(cfg)
    cfg.test_dataloader = inference_loader(cfg.test_dataloader)
    use_cache(cfg, said.image_cache, 'test_dataloader')
    runner = build_runner(cfg, test_hooks(cfg, *hooks))
    runner.load_or_resume()  # before memory is kept: the file's goes back to the system
    runner.model.requires_grad_(False)  # makes more of it cheaper
    runner.logger.info(table(accelerate_as_config_says(runner.model, said, cfg)))
    start = provenance.start_of(cfg, command, runner.seed)
    provenance.write(runner._log_dir, cfg, start)
    metrics = runner.test()
    runner.end_workers()
    used = runner.test_evaluator.metrics
    found = (
        next(filter(None, (getattr(metric, kind, None) for metric in used)), None)
        for kind in ('score', 'calibration')
    )
    return start, metrics, *found


def _earlier_result(path: str) -> dict:
    """Return the result that a file has; a `UserError` where it has anything else."""
    if not os.path.lexists(path):
        return {}
    cure = f'it is no result of a test and would be overwritten; {_OTHER_FILE}'
    found = read_object(path, cure)
    if not found.keys() & {'checkpoint', 'intersection'}:
        raise UserError(f'{path} exists: {cure}')
    return found


def _refuse_to_lose(path: str, dataset: dict, parts: set[str]) -> None:
    """Raise a `UserError` where an earlier result is of other images, or has parts that this lacks.

    That of the file that nobody named: what it is called says nothing of these.
    """
    earlier = _earlier_result(path)
    if earlier.get('dataset', dataset) != dataset:
        raise UserError(
            f'{path} exists: it is the result of other data, or of the same read otherwise '
            f'(its command: {earlier.get("command")}); {_OTHER_FILE}'
        )
    if lost := earlier.keys() & {'comparison', 'calibration'} - parts:
        raise UserError(
            f'{path} exists: it has a {" and a ".join(sorted(lost))}, which would be lost; '
            f'{_OTHER_FILE}'
        )


def _result(found: Score | None, metrics: dict) -> dict:
    """Return what the project's metric counted; where it is not used, what the others report."""
    if found is not None:
        return found.to_json()
    return {'metrics': {name: float(value) for name, value in metrics.items()}}  # numpy's have none
