"""What the demo ends with: a table, ``summary.json`` and ``report.png``, from the stages' files."""

import csv
import os
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from prettytable import PrettyTable

from mmseg_uvpt.correction.record import CURVE, EVENTS, TRUTH
from mmseg_uvpt.datasets.label_encodings import CLASSES, PALETTE
from mmseg_uvpt.demo.backbones import BACKBONES
from mmseg_uvpt.demo.settings import Settings
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object, write_whole

FRAMES = 4
SUMMARY, REPORT = 'summary.json', 'report.png'
_SPOILS = ': the correction spoils more than it mends'
_AGAIN = 'delete the folder of the demo, and run it again'


def refuse_other_files(folder: Path) -> None:
    """Make sure that a summary and a report may be written to a folder.

    Raises:
        UserError: files of these names are there that no demo wrote.
    """
    summary = folder / SUMMARY
    cure = 'it was not written by the demo and would be overwritten: choose another --work-dir'
    ours = os.path.lexists(summary) and 'source_miou' in read_object(summary, cure)
    for path in (summary, folder / REPORT):
        if os.path.lexists(path) and not ours:
            raise UserError(f'{path} exists, and {cure}')


def summarise(settings: Settings, root: Path, seconds: dict[str, float]) -> dict:
    """Collect what a demo run found.

    Args:
        settings: of the run.
        root: the run's folder.
        seconds: stage names to seconds.

    Returns:
        dict: ``source_miou`` and ``adapted_miou`` in percent over 19 classes, the same over 16
        and 13, the IoU of each class, what the label correction did, and how it was made.
    """
    adapted = root / settings.folder
    scores = {
        'source': read_object(root / 'source-only/score.json', _AGAIN),
        'adapted': read_object(adapted / 'score.json', _AGAIN),
    }
    start = read_object(adapted / 'run.json', _AGAIN)['starts'][-1]
    changed = [row for row in _rows(adapted / EVENTS) if int(row['pixels_changed'])]
    return {
        'source_miou': scores['source']['mIoU19'],
        'adapted_miou': scores['adapted']['mIoU19'],
        'gain': scores['adapted']['mIoU19'] - scores['source']['mIoU19'],
        **{
            f'{name}_{mean}': score[mean]
            for name, score in scores.items()
            for mean in ('mIoU16', 'mIoU13')
        },
        'per_class': {
            name: {kind: score['IoU'][name] for kind, score in scores.items()} for name in CLASSES
        },
        'label_correction': {
            'pixels_changed': sum(int(row['pixels_changed']) for row in changed),
            'classes_changed': sorted({row['class'] for row in changed}),
            **against_truth(adapted),
        },
        'row': settings.row,
        'settings': vars(settings),
        'seed': settings.seed,
        'git_revision': start['git'],
        'seconds': seconds,
        'total_seconds': round(sum(seconds.values()), 1),
    }


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


def table(summary: dict) -> str:
    """Return the summary as two tables to print."""
    classes = PrettyTable(['class', 'source-only', 'adapted', 'gain'], align='r')
    classes.align['class'] = 'l'
    for name, iou in summary['per_class'].items():
        pair = [iou['source'], iou['adapted']]
        gain = '' if None in pair else f'{pair[1] - pair[0]:+.1f}'
        classes.add_row([name, *('absent' if v is None else f'{v:.1f}' for v in pair), gain])
    classes.add_divider()
    for label, keys in (
        ('mIoU, 19 classes', ('source_miou', 'adapted_miou')),
        ('mIoU, 16 classes', ('source_mIoU16', 'adapted_mIoU16')),
        ('mIoU, 13 classes', ('source_mIoU13', 'adapted_mIoU13')),
    ):
        before, after = (summary[key] for key in keys)
        classes.add_row([label, f'{before:.1f}', f'{after:.1f}', f'{after - before:+.1f}'])
    return classes.get_string()


def sentence(summary: dict) -> str:
    """Say what was trained, on what, for how long, and what came of it."""
    made, correction, seconds = (
        summary[key] for key in ('settings', 'label_correction', 'seconds')
    )
    trained = sum(
        t for name, t in seconds.items() if name == 'pretrain' or f'test_{name}' in seconds
    )
    return (
        f'{BACKBONES[made["backbone"]]}, seed {made["seed"]}, {summary["row"]}. '
        f'{made["train_frames"]} rendered frames with labels, {made["train_frames"]} photographic '
        f'ones without, scored on {made["val_frames"]} others. Trained for {trained / 60:.1f} '
        f'minutes of {summary["total_seconds"] / 60:.1f}. {_of_correction(correction)}'
        f'mIoU {summary["source_miou"]:.1f} -> {summary["adapted_miou"]:.1f} '
        f'({summary["gain"]:+.1f}).'
    )


def _of_correction(found: dict) -> str:
    if 'mended' not in found:
        return ''
    return (
        f'The label correction changed {found["pixels_changed"]} pixels of '
        f'{len(found["classes_changed"])} classes; '
        f'against the truth, which no training sees, its labels went from '
        f'{found["labels_miou_before"]:.1f} to {found["labels_miou_after"]:.1f} mIoU, '
        f'{found["mended"]} pixels mended and {found["spoilt"]} spoilt'
        f'{_SPOILS if found["spoilt"] > found["mended"] else ""}. '
    )


def draw(root: Path, adapted: Path, path: Path) -> None:
    """Draw some val frames (image, truth, source-only, adapted), a legend, and the curves.

    Args:
        root: the demo run's folder.
        adapted: the adaptation's folder.
        path: the PNG to write.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt
    from matplotlib.patches import Patch

    images = sorted((root / 'data/cityscapes/leftImg8bit/val').rglob('*.png'))
    images = images[:: max(1, len(images) // FRAMES)][:FRAMES]
    figure = plt.figure(figsize=(20, 2.1 * FRAMES + 1), facecolor='white')
    grid = figure.add_gridspec(
        FRAMES, 4, left=0.005, right=0.76, top=0.95, bottom=0.1, wspace=0.02, hspace=0.02
    )
    curves = figure.add_gridspec(2, 1, left=0.78, right=0.925, top=0.95, bottom=0.13, hspace=0.2)
    titles = ('image', 'truth', 'source-only', 'adapted')
    for row, image in enumerate(images):
        panels = (
            _read(image),
            _coloured_truth(image),
            _read(_prediction(root / 'source-only', image)),
            _read(_prediction(adapted, image)),
        )
        for column, (title, panel) in enumerate(zip(titles, panels, strict=True)):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(panel)
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, fontsize=15)
    _plot_curves(figure.add_subplot(curves[0]), adapted)
    _plot_changes(figure.add_subplot(curves[1]), adapted)
    patches = [
        Patch(color=np.array(colour) / 255, label=name)
        for name, colour in zip(CLASSES, PALETTE, strict=True)
    ]
    figure.legend(handles=patches, loc='lower center', ncols=10, frameon=False, fontsize=12)
    with write_whole(path) as file:
        figure.savefig(file, format='png', dpi=80)
    plt.close(figure)


def _plot_curves(axes, adapted: Path) -> None:
    """Draw each class's IoU between predictions and current labels, and where it is corrected."""
    curves: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in _rows(adapted / CURVE):
        curves[row['class']].append((int(row['iteration']), float(row['iou'])))
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), color=_colour(name), lw=1.5)
    for row in _rows(adapted / EVENTS):
        if row['event'] in ('start', 'restart') and row['iou']:
            axes.plot(
                int(row['iteration']),
                float(row['iou']),
                'o',
                color=_colour(row['class']),
                mec='black',
                ms=6,
            )
    axes.set_title('IoU of prediction and label bank\n(dots: correction starts)', fontsize=11)
    axes.set_ylim(0, 1)
    _to_the_right(axes)


def _plot_changes(axes, adapted: Path) -> None:
    """Draw how many pixels of the bank became each class."""
    totals: dict[str, int] = defaultdict(int)
    for row in _rows(adapted / EVENTS):
        totals[row['class']] += int(row['pixels_changed'])
    totals = {name: n for name, n in sorted(totals.items(), key=lambda item: item[1]) if n}
    axes.barh(list(totals), list(totals.values()), color=[_colour(n) for n in totals])
    axes.set_title('pixels of the label bank corrected to', fontsize=11)
    axes.ticklabel_format(axis='x', style='sci', scilimits=(3, 3))
    _to_the_right(axes)


def _to_the_right(axes) -> None:
    axes.yaxis.tick_right()
    axes.tick_params(labelsize=10)


def _colour(name: str) -> np.ndarray:
    return np.array(PALETTE[CLASSES.index(name)]) / 255


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():  # of a method that corrects no labels
        return []
    with path.open(newline='') as file:
        return list(csv.DictReader(file))


def _read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))[..., ::-1]


def _prediction(folder: Path, image: Path) -> Path:
    return folder / 'predictions' / image.parent.name / image.name


def _coloured_truth(image: Path) -> np.ndarray:
    """Return the label of a val image in the palette's colours, ignored pixels black."""
    folder = image.parents[3] / 'gtFine/val' / image.parent.name
    name = image.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
    label = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(PALETTE)] = PALETTE
    return colours[label]
