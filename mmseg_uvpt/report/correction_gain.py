"""What a label correction gained, by the truth that MiniCity has of its training images."""

from statistics import mean

from mmseg_uvpt.report.run_folder import RunFolder

_CHANGED = ('mended', 'spoilt', 'still_wrong')  # pixels


def against_truth(run: RunFolder) -> dict:
    """Return how right the labels were over time; empty where none were corrected.

    Returns:
        dict: ``iterations`` with ``labels_miou`` (percent), ``mended`` and ``spoilt`` (pixels) of
            each; and in ``classes`` the same, with ``iou``, of each class that pixels became.
    """
    if not run.truth:  # of a method that corrects no labels
        return {}
    classes = {}
    for row in run.truth:
        of_class = classes.setdefault(row['class'], {name: [] for name in ('iou', *_CHANGED)})
        for name, values in of_class.items():
            values.append(row[name])
    ious = zip(*(of_class['iou'] for of_class in classes.values()), strict=True)
    return {
        'iterations': list(dict.fromkeys(row['iterations'] for row in run.truth)),
        'labels_miou': [100 * mean(iou for iou in some if iou is not None) for some in ious],
        **{
            kind: [sum(each) for each in zip(*(c[kind] for c in classes.values()), strict=True)]
            for kind in ('mended', 'spoilt')
        },
        'classes': {
            name: of_class
            for name, of_class in classes.items()
            if any(any(of_class[kind]) for kind in _CHANGED)
        },
    }


def correction_sentence(found: dict) -> str:
    """Say what `against_truth` found; nothing where no labels were corrected."""
    if not found:
        return ''
    mended, spoilt = (found[kind][-1] for kind in ('mended', 'spoilt'))
    before, after = (found['labels_miou'][i] for i in (0, -1))
    spoils = ': it spoils more than it mends' if spoilt > mended else ''
    return (
        'The label correction, against the truth that no training sees: labels '
        f'{before:.1f} -> {after:.1f} mIoU, {mended} pixels mended and {spoilt} spoilt{spoils}'
    )
