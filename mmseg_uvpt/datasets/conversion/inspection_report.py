"""What `mmseg_uvpt.datasets.conversion.inspection` found, as text."""

from collections import Counter
from pathlib import Path

from prettytable import PrettyTable

from mmseg_uvpt.datasets.conversion.inspection import SplitReport
from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.datasets.layouts import Layout

_SHOWN = 10  # examples of a kind of problem: a whole data set may have the same one

_CURES = {
    'no image': (
        'data/README.md shows where to get the data set and how its tree looks; without images to '
        'validate with, train with --no-validate'
    ),
    'label without image': 'put the image there, or move the label away',
    'image without label': 'put the raw label there, or move the image away',
    'unreadable image': 'put the original there again',
    'unreadable raw label': 'put the original there again, then {convert}',
    'label not converted': '{convert}',
    'unusable converted label': '{convert} --force',
    'converted label that its raw label does not give': '{convert} --force',
    'image and label of different size': 'put the originals there, or move both away',
    'frame that kills the process reading it': 'look at the file; check again with --nproc 1',
}

# problems that a converter mends; it knows no classes but Cityscapes'
_CONVERTED = (
    *('label not converted', 'unusable converted label'),
    'converted label that its raw label does not give',
)
_OF_ITS_OWN = {'unusable converted label': 'unreadable image'}  # which has no raw label


def report_text(layout: Layout, root: Path, report: SplitReport) -> str:
    """Return counts, sizes, a table of class frequencies, and each kind of problem with its cure.

    Args:
        layout: which data set.
        root: its root, for the commands.
        report: one split of it.
    """
    name = f'{layout.title} {report.split}'.strip()
    lines = [
        f'{name} in {root}',
        f'  images {report.images}, raw labels {report.labels}, pairs {report.pairs}, '
        f'converted labels {report.converted}',
        f'  image sizes: {_sizes(report.image_sizes)}',
        f'  converted label sizes: {_sizes(report.label_sizes)}',
    ]
    if report.left_out:
        lines.append(f'  {report.left_out}')
    if report.images and not report.labels and not report.converted and not report.problems:
        lines.append('  No labels: enough to adapt to, not enough to train or to test on.')
    if report.converted:
        lines.append(str(_frequencies(report)))
    for kind, found in report.problems.items():
        if kind in _CONVERTED and report.classes != CLASSES:
            ids = f'0 to {len(report.classes) - 1} and 255'
            cure = f'put a label of the ids {ids} there, or take it and its image away'
        elif layout.raw_suffixes:
            cure = _CURES[kind].format(convert=layout.convert_command(root))
        else:  # labels are as the data set has them
            cure = _CURES[_OF_ITS_OWN.get(kind, kind)]
        lines.append(f'problem: {kind} ({len(found)}). Cure: {cure}')
        lines += [f'  {what}' for what in sorted(found)[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f'  ... and {len(found) - _SHOWN} more')
    return '\n'.join(lines)


def _sizes(sizes: Counter) -> str:
    shown = (f'{width} x {height} ({n})' for (height, width), n in sizes.most_common())
    return ', '.join(shown) or 'none'


def _frequencies(report: SplitReport) -> PrettyTable:
    total = report.pixels.total() + report.ignored
    table = PrettyTable(['train id', 'class', '% of pixels', 'labels with it', '% of labels'])
    table.align = 'r'
    table.align['class'] = 'l'
    for train_id, name in enumerate(report.classes):
        share = 100 * report.pixels[train_id] / total
        frames = report.frames_with[train_id]
        table.add_row(
            [train_id, name, f'{share:.3f}', frames, f'{100 * frames / report.converted:.1f}']
        )
    table.add_row([255, 'ignored', f'{100 * report.ignored / total:.3f}', '', ''])
    return table
