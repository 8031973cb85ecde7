"""Pseudo labels of the target train images, made by a source model."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.correction.pseudo_label_files import TargetFrame, list_frames
from mmseg_uvpt.datasets.cityscapes import pseudo_label_path
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.image_files import image_size
from mmseg_uvpt.datasets.image_cache import through_cache
from mmseg_uvpt.datasets.label_encodings import read_train_ids
from mmseg_uvpt.engine.config.required import require_data, require_file
from mmseg_uvpt.engine.config.resolve import launcher
from mmseg_uvpt.engine.config.tta import use_tta_pipeline
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.inference.confidence_counts import ConfidenceCounts
from mmseg_uvpt.engine.inference.label_record import REPORT, facts_of, record_in
from mmseg_uvpt.engine.inference.label_report import LabelReport
from mmseg_uvpt.engine.inference.label_thresholds import find_thresholds, sure_label
from mmseg_uvpt.engine.inference.model import accelerated_model
from mmseg_uvpt.engine.inference.target_frames import TargetFrames
from mmseg_uvpt.engine.inference.target_images import LOADER
from mmseg_uvpt.engine.inference.writers import Writers
from mmseg_uvpt.engine.training import distributed
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.engine.work_folder.lock import locked
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png
from mmseg_uvpt.progress import progress

# what of a model's config decides its predictions, beside the network
_OF_MODEL = {
    'data_preprocessor': ('mean', 'std', 'bgr_to_rgb'),
    'test_cfg': ('mode', 'crop_size', 'stride', 'temperature'),
}


def label_target(
    cfg: Config,
    checkpoint: str,
    folder: str,
    command: str,
    force: bool = False,
    aug_test: bool = False,
    threshold: float | None = None,
    class_quantile: float | None = None,
) -> None:
    """Write a pseudo label for every image of the config's ``target_train_dataloader``.

    Of a ``class_quantile`` all images are predicted twice: before the first label is written, the
    confidences of each class are counted.

    Args:
        cfg: resolved config of a pretraining or of an adaptation.
        checkpoint: the source model, or one that was adapted from it.
        folder: files are ``<folder>/<city>/<frame>_gtFine_labelTrainIds.png``.
        command: the command line, for the record.
        force: make all anew instead of skipping whole files.
        aug_test: of the mean probability over the views of the config's ``tta_pipeline``.
        threshold: confidence in 0..1 below which a pixel gets no label.
        class_quantile: likewise, but of each class the quantile of its confidences in all images,
            so that the most confident 1 - ``class_quantile`` of each class are left (class-balanced
            self-training; Zou et al., ECCV 2018).

    Raises:
        UserError: data or checkpoint are missing; the checkpoint does not fit the config; the
            folder holds pseudo labels of another model or of other options, or labels that
            nobody's record names.
    """
    require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
    require_data(cfg, LOADER)
    if aug_test:
        use_tta_pipeline(cfg, LOADER, with_labels=False)
    facts = provenance.of_predictions(cfg, checkpoint, command)
    facts |= facts_of(load_file(checkpoint), checkpoint)
    made = {
        'pipeline': None if aug_test else _plain(cfg[LOADER].dataset.pipeline),
        'amp': uvpt_config(cfg).amp,
        **{key: _plain(cfg.model.get(key), keys) for key, keys in _OF_MODEL.items()},
        'tta_pipeline': _plain(cfg[LOADER].dataset.pipeline) if aug_test else None,
        'threshold': threshold,
        'class_quantile': class_quantile,
    }
    facts.update({key: value for key, value in made.items() if value is not None})
    init_default_scope('mmseg')
    with readable_failures(folder):
        distributed.join(launcher())
        dataset = DATASETS.build(through_cache(cfg[LOADER].dataset, uvpt_config(cfg).image_cache))
        classes, frames = dataset.metainfo['classes'], list_frames(dataset, Path(folder))
        _refuse_ground_truth(dataset, frames, Path(folder))
        report = LabelReport(folder, classes, facts, force)
        model = accelerated_model(cfg, checkpoint, classes, LOADER)
        with locked(folder, launcher(), command, '--pseudo_label_dir'):
            target = TargetFrames(cfg[LOADER], dataset, frames, model)
            _label_all(target, report, force)


def _plain(described: object, keys: Sequence[str] | None = None) -> object:
    """Return an entry of a config as JSON gives it back, of a dict only some keys."""
    if keys is not None:
        described = {key: described[key] for key in keys if key in (described or ())}
    return json.loads(json.dumps(described))


def _refuse_ground_truth(dataset: BaseSegDataset, frames: list[TargetFrame], folder: Path) -> None:
    """Raise a `UserError` where labels would lie among others that no record accounts for."""
    root, layout = dataset.data_root, getattr(dataset, 'layout', None)
    cure = 'choose another --pseudo_label_dir'
    tops = [Path(root, top).resolve() for top in layout.label_folders()] if root and layout else []
    if any(Path(folder).resolve().is_relative_to(top) for top in tops):
        raise UserError(f"{folder} is where the data set's ground truth belongs: {cure}")
    there = [f.pseudo_label for f in frames if os.path.lexists(f.pseudo_label)]
    if there and record_in(folder) is None:
        raise UserError(
            f'{folder} holds {len(there)} labels, {there[0]} for one, and no {REPORT} that says '
            f'which model made them: {cure}, or move them away'
        )


def _label_all(target: TargetFrames, report: LabelReport, force: bool) -> None:
    """Write the labels that are missing, all processes together, and the report."""
    if is_main_process():
        if force:  # before the report names the new checkpoint: no mixture is taken for its work
            for label in _labels_there(target, report):
                label.unlink(missing_ok=True)
            ConfidenceCounts.remove(report.folder)
        report.begin(anew=force)
    thresholds = find_thresholds(target, report)
    missing = [None]
    if is_main_process():
        looked_at = enumerate(progress(target.frames, 'looking for whole files', 'frame'))
        missing = [[i for i, frame in looked_at if not _count_if_whole(frame, report)]]
    broadcast_object_list(missing)
    mine = missing[0][get_rank() :: get_world_size()]
    _label(target, mine, report, thresholds)
    counts = all_gather_object((report.pixels, report.images, report.sizes))
    if is_main_process():
        pixels, images, sizes = zip(*counts, strict=True)
        report.pixels, report.images = sum(pixels), sum(images)
        report.sizes = sum(sizes, Counter())
        report.end()
        print(report.table())


def _labels_there(target: TargetFrames, report: LabelReport) -> set[Path]:
    """Return the labels of all frames, and of those that the folder's record has beside them."""
    images = Path(target.dataset.data_prefix['img_path'])
    noted = (name for name in report.noted_frames() if '..' not in Path(name).parts)
    others = {pseudo_label_path(target.dataset, images / name, report.folder) for name in noted}
    return others | {frame.pseudo_label for frame in target.frames}


def _label(
    target: TargetFrames, mine: list[int], report: LabelReport, thresholds: np.ndarray | None
) -> None:
    """Write the labels of this process's share of the frames, and note the confidences."""
    with Writers() as writers:
        for frame, result in target.predict(mine, 'labelling'):
            label = result.label if thresholds is None else sure_label(result, thresholds)
            arrays = [x.cpu().numpy() for x in (label, *result.as_seen())]
            writers.submit(_write, frame, *arrays, report)


def _write(
    frame: TargetFrame,
    label: np.ndarray,
    seen: np.ndarray,
    confidence: np.ndarray,
    report: LabelReport,
) -> None:
    """Write a frame's label, and note it and the confidences in the report."""
    # noted first: a frame whose label is there is never predicted again
    report.add_confidence(frame.name, frame.image, seen, confidence)
    write_png(frame.pseudo_label, label)
    report.add_label(label)


def _count_if_whole(frame: TargetFrame, report: LabelReport) -> bool:
    """Tell whether a frame has a whole label of the right size; if so, count its classes.

    Raises:
        UserError: it is of another image.
    """
    try:
        label = read_train_ids(frame.pseudo_label, len(report.classes))
    except DataError:
        return False
    if label.shape != image_size(frame.image):
        return False
    report.require_same_image(frame.name, frame.image)
    report.add_label(label)
    return True
