"""What a label correction gained, by the truth that MiniCity has of its training images."""

import numpy as np

from mmseg_uvpt.report.run_folder import RunFolder


def against_truth(run: RunFolder) -> dict[str, float]:
    """Return how right the labels were in the beginning and at the end, mIoU in percent.

    Empty where none were corrected.
    """
    rows = run.truth
    if not rows:  # of a method that corrects no labels
        return {}
    first, last = (
        [row for row in rows if row['iterations'] == rows[i]['iterations']] for i in (0, -1)
    )
    means = (
        100 * float(np.mean([row['iou'] for row in some if row['iou'] is not None]))
        for some in (first, last)
    )
    return {
        **dict(zip(('labels_miou_before', 'labels_miou_after'), means, strict=True)),
        **{kind: sum(row[kind] for row in last) for kind in ('mended', 'spoilt')},
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
