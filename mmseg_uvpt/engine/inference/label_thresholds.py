"""Which pixels of the pseudo labels are left without a class for want of confidence."""

import numpy as np
import torch
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from torch import Tensor

from mmseg_uvpt.datasets.label_encodings import IGNORE
from mmseg_uvpt.engine.inference.confidence_counts import ConfidenceCounts
from mmseg_uvpt.engine.inference.label_report import LabelReport
from mmseg_uvpt.engine.inference.result import Result
from mmseg_uvpt.engine.inference.target_frames import TargetFrames
from mmseg_uvpt.engine.inference.writers import Writers


def find_thresholds(target: TargetFrames, report: LabelReport) -> np.ndarray | None:
    """Return the confidence that a pixel of each class needs for its label.

    ``threshold`` of the report's facts is that of all classes. For ``class_quantile``, the quantile
    of each class's confidences (Zou et al., "Unsupervised Domain Adaptation for Semantic
    Segmentation via Class-Balanced Self-Training", ECCV 2018), those in the record are taken.
    Where it has none all frames are predicted, but for those that a killed run has counted, and
    the record gets them.

    Args:
        target: what is labelled.
        report: begun, on rank 0.

    Returns:
        (C,): float32 for a threshold, float16 for quantiles, which are of confidences in float16;
        None if every pixel gets a label.
    """
    facts = report.facts
    if 'threshold' in facts:
        return np.full(len(report.classes), facts['threshold'], np.float32)
    if 'class_quantile' not in facts:
        return None
    told = [report.thresholds]
    broadcast_object_list(told)
    if told[0] is None:
        counts = _count(target, report)
        if is_main_process():
            report.note_thresholds(counts.quantiles(facts['class_quantile']))
            ConfidenceCounts.remove(report.folder)
            told = [report.thresholds]
        broadcast_object_list(told)
    return told[0].astype(np.float16)


def _count(target: TargetFrames, report: LabelReport) -> ConfidenceCounts:
    """Count the confidences of all frames, all processes together; return them on rank 0."""
    of_all = report.folder, [frame.name for frame in target.frames], len(report.classes)
    counts = ConfidenceCounts(*of_all)
    if is_main_process():
        counts.merge()
    missing = [counts.missing()]
    broadcast_object_list(missing)
    mine = missing[0][get_rank() :: get_world_size()]
    with Writers() as counters:
        for frame, result in target.predict(mine, 'measuring confidences'):
            arrays = [x.cpu().numpy() for x in (result.label, result.probability().half())]
            counters.submit(counts.add, frame.name, *arrays)
    counts.write()
    all_gather_object(None)  # all have written
    if get_world_size() == 1:
        return counts
    counts = ConfidenceCounts(*of_all)
    counts.take_up()
    return counts


def sure_label(result: Result, thresholds: np.ndarray) -> Tensor:
    """Return the label of an image, 255 where its confidence is below that of its class.

    Args:
        result: of the image.
        thresholds: (C,), as `find_thresholds` returns them.

    Returns:
        Tensor: uint8 (H, W).
    """
    needed = torch.from_numpy(thresholds).to(result.label.device)
    unsure = result.probability().to(needed.dtype) < needed[result.label.long()]
    return result.label.masked_fill(unsure, IGNORE)
