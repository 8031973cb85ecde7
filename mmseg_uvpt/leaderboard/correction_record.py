"""What a label correction gained, by the truth that MiniCity has of its training images."""

import csv
from pathlib import Path

import numpy as np

from mmseg_uvpt.correction.record import TRUTH


def against_truth(folder: Path) -> dict[str, float]:
    """Return how right the labels were in the beginning and at the end, mIoU in percent.

    Empty where none were corrected.
    """
    rows = _rows(folder / TRUTH)
    if not rows:
        return {}
    first, last = (
        [row for row in rows if row['iterations'] == rows[i]['iterations']] for i in (0, -1)
    )
    means = (
        100 * float(np.mean([float(row['iou']) for row in some if row['iou']]))
        for some in (first, last)
    )
    return {
        **dict(zip(('labels_miou_before', 'labels_miou_after'), means, strict=True)),
        **{kind: sum(int(row[kind]) for row in last) for kind in ('mended', 'spoilt')},
    }


def correction_sentence(found: dict[str, float]) -> str:
    """Say what `against_truth` found; nothing where no labels were corrected."""
    if not found:
        return ''
    spoils = ': it spoils more than it mends' if found['spoilt'] > found['mended'] else ''
    return (
        'The label correction, against the truth that no training sees: labels '
        f'{found["labels_miou_before"]:.1f} -> {found["labels_miou_after"]:.1f} mIoU, '
        f'{found["mended"]} pixels mended and {found["spoilt"]} spoilt{spoils}'
    )


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():  # of a method that corrects no labels
        return []
    with path.open(newline='') as file:
        return list(csv.DictReader(file))
