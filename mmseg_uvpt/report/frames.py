"""Frames as a source model and an adapted one see them, those first in which they differ most."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.datasets.files.image_files import read_image
from mmseg_uvpt.engine.config.classes import meta_of
from mmseg_uvpt.engine.config.normalisation import is_adaptation
from mmseg_uvpt.engine.config.required import require_data, require_file
from mmseg_uvpt.engine.config.resolve import read, score_that_counts
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.engine.inference.model import accelerated_model, source_within
from mmseg_uvpt.engine.inference.result import Result
from mmseg_uvpt.engine.work_folder.claim import CONFIG
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.evaluation.comparison import Comparison
from mmseg_uvpt.evaluation.iou import confusion_matrix
from mmseg_uvpt.evaluation.score import Score
from mmseg_uvpt.evenly_spaced import evenly_spaced
from mmseg_uvpt.files import printable
from mmseg_uvpt.progress import progress
from mmseg_uvpt.report.embedding import png, shrink, webp
from mmseg_uvpt.report.run_folder import RunFolder

PREDICTED, SHOWN = 64, 12
WIDTH, CONFIDENCE_WIDTH = 640, 160  # of what a page holds of a frame
SOURCE, ADAPTED = 'source', 'adapted'
_LOADERS = ('val_dataloader', 'test_dataloader', 'target_train_dataloader')


@dataclass(frozen=True)
class Frame:
    """A frame as a page holds it, as data URIs.

    Attributes:
        name: of the image file.
        differs: share of the pixels that the two models see otherwise, in 0..1; None of one model.
        image: the photograph.
        labels: class ids by ``'truth'`` and the names of the models; 255 where there is none.
        confidences: in 0..255 by the names of the models.
    """

    name: str
    differs: float | None
    size: tuple[int, int]
    image: str
    labels: Mapping[str, str]
    confidences: Mapping[str, str]


@dataclass
class Frames:
    """What was found on the predicted frames.

    Attributes:
        classes: names.
        palette: R, G, B of each.
        total: how many were predicted.
        shown: those that a page holds.
        confusions: of each model (C, C), summed over all; empty without labels.
        comparison: of the two models; None without labels, or of one model.
    """

    classes: tuple[str, ...]
    palette: list[list[int]]
    total: int
    shown: list[Frame] = field(default_factory=list)
    confusions: dict[str, np.ndarray] = field(default_factory=dict)
    comparison: Comparison | None = None


def predict_frames(run: RunFolder) -> Frames | None:
    """Predict evenly spaced frames with the models of a run; None where that cannot be done.

    They are those of the evaluation where they have labels, else those that were adapted to. What
    is missing is noted among the problems of the run.
    """
    models = _checkpoints(run)
    if not models:
        run.problems.append(f'{run.folder} holds no checkpoint, so no frame is predicted')
        return None
    try:
        init_default_scope('mmseg')
        cfg = read(run.place / CONFIG)
        cfg.merge_from_dict({'uvpt.compile': False})  # which takes longer than it gains here
        loader, dataset = _data_set(cfg, run)
        return _predicted(cfg, models, loader, dataset)
    except Exception as error:  # the page tells of all else
        run.problems.append(f'No frame is predicted: {first_line(error)}')
        return None


def _checkpoints(run: RunFolder) -> dict[str, str]:
    """Return the checkpoints to predict with by what they are."""
    source, own = run.source_checkpoint, run.checkpoint
    if not source:
        return {'model': own} if own else {}
    found = {SOURCE: source, ADAPTED: own}
    if own is None and run.scores:  # a test of the source model alone
        del found[ADAPTED]
    return {name: path for name, path in found.items() if path}


def _data_set(cfg: Config, run: RunFolder) -> tuple[str, object]:
    """Return the name of a loader and its data set, of which at least the first image is there."""
    reasons = []
    for loader in _LOADERS:
        if not cfg.get(loader):
            continue
        try:
            require_data(cfg, loader)
            dataset = DATASETS.build(cfg[loader].dataset)
            if len(dataset):
                _ = dataset[0]
                return loader, dataset
            reasons.append(f'{loader} has no image')
        except UserError as error:
            reasons.append(f'{loader}: {first_line(error)}')
    raise UserError('; '.join(dict.fromkeys(reasons)) or 'the config names no images')


def _predicted(cfg: Config, models: Mapping[str, str], loader: str, dataset: object) -> Frames:
    meta = meta_of(cfg[loader].dataset)
    classes = tuple(meta['classes'])
    networks = {}
    for name, path in models.items():
        require_file(path, f'checkpoint of the {name} model', 'put it back')
        described = cfg.copy()
        if name == SOURCE and is_adaptation(cfg):  # which may have been adapted itself
            described.model = source_within(cfg.model)
        networks[name] = accelerated_model(described, str(path), classes, loader)
    numbers = evenly_spaced(range(len(dataset)), PREDICTED)
    frames, confusions = [], {name: [] for name in models}
    for number in progress(numbers, 'predicting frames for the report', 'frame'):
        batch = pseudo_collate([dataset[number]])
        results = {name: next(predict(net, [batch], meta)) for name, net in networks.items()}
        frames.append(_frame(results))
        for name, result in results.items():
            truth = _truth(result)
            if truth is not None:
                counts = confusion_matrix(result.label, truth, len(classes))
                confusions[name].append(counts)
    frames.sort(key=lambda frame: -(frame.differs or 0))
    found = Frames(classes, [list(map(int, c)) for c in meta['palette']], len(numbers))
    found.shown = frames[:SHOWN]
    labelled = {name: each for name, each in confusions.items() if np.any(each)}
    found.confusions = {name: np.sum(each, axis=0) for name, each in labelled.items()}
    if {SOURCE, ADAPTED} <= labelled.keys():
        scores = (Score(classes, ImageCounts.of(labelled[name])) for name in (SOURCE, ADAPTED))
        found.comparison = Comparison.by(score_that_counts(cfg), *scores)
    return found


def _truth(result: Result):
    return result.sample.gt_sem_seg.data[0] if 'gt_sem_seg' in result.sample else None


def _frame(results: Mapping[str, Result]) -> Frame:
    first = next(iter(results.values()))
    labels = {name: result.classes for name, result in results.items()}
    differs = None
    if len(labels) == 2:
        one, other = labels.values()
        differs = float((one != other).mean())
    if (truth := _truth(first)) is not None:
        labels = {'truth': truth.cpu().numpy().astype(np.uint8), **labels}
    image = shrink(read_image(first.image), WIDTH)
    height, width = image.shape[:2]
    return Frame(
        name=printable(Path(str(first.image)).name),
        differs=differs,
        size=(width, height),
        image=webp(image),
        labels={
            name: png(cv2.resize(ids, (width, height), interpolation=cv2.INTER_NEAREST))
            for name, ids in labels.items()
        },
        confidences=dict(_confidences(results)),
    )


def _confidences(results: Mapping[str, Result]) -> Iterator[tuple[str, str]]:
    for name, result in results.items():
        confidence = result.as_seen()[1].cpu().numpy()
        yield name, png(np.rint(255 * shrink(confidence, CONFIDENCE_WIDTH)).astype(np.uint8))
