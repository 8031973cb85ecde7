"""The label correction as charts: when each class was corrected, and what came of it."""

from collections import defaultdict
from collections.abc import Iterator

from matplotlib.axes import Axes

from mmseg_uvpt.evenly_spaced import evenly_spaced
from mmseg_uvpt.report.charts import (
    BAD,
    GOOD,
    INK,
    LINE,
    POINTS,
    SERIES,
    SOFT,
    WIDE,
    Chart,
    chart,
    curve_rows,
    legend,
    series,
)
from mmseg_uvpt.report.run_folder import RunFolder


def timeline(run: RunFolder) -> Chart | None:
    """Return when each class was corrected, and how many pixels became it meanwhile."""
    if not run.events:
        return None
    spans = list(_spans(run))
    points = [row['iteration'] for row in (*run.curve, *run.events)]
    changed = defaultdict(int)
    for row in run.events:
        changed[row['class']] += row['pixels_changed']
    classes = list(dict.fromkeys(row['class'] for row in (*run.curve, *run.events)))

    def draw(axes: Axes) -> None:
        for of_class, start, stop in spans:
            y = classes.index(of_class)
            axes.plot((start, stop), (y, y), color=SERIES[0], lw=6, solid_capstyle='butt')
            axes.plot(start, y, '|', ms=10, mew=2, color=INK)
        for of_class, pixels in changed.items():
            if pixels:
                _note(axes, f'{pixels:,}', classes.index(of_class))
        axes.set_yticks(range(len(classes)), classes)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        axes.set_xlim(0, max(points) or 1)
        axes.set_xlabel('iteration; on the right, pixels of the label bank that became the class')

    rows = [[*span, changed[span[0]]] for span in spans]
    title = 'When each class was corrected (a stroke where it began)'
    told = f'{len({span[0] for span in spans})} of {len(classes)} classes were corrected'
    header = ('class', 'from', 'to', 'pixels that became it')
    return chart(draw, title, told, header, rows, (WIDE, 1 + 0.21 * len(classes)))


def _spans(run: RunFolder) -> Iterator[tuple[str, int, int]]:
    """Yield each class with the iterations at which its correction began and ended."""
    begun, end = {}, max(row['iteration'] for row in run.events)
    for row in run.events:
        of_class, event, iteration = row['class'], row['event'], row['iteration']
        if event in ('stop', 'restart') and of_class in begun:
            yield of_class, begun.pop(of_class), iteration
        if event in ('start', 'restart'):
            begun[of_class] = iteration
    for of_class, start in begun.items():
        yield of_class, start, end


def mended_and_spoilt(run: RunFolder) -> Chart | None:
    """Return the pixels that the correction made right and wrong, where the truth is known."""
    if not run.truth:
        return None
    end = run.truth[-1]['iterations']
    first = {row['class']: row['iou'] for row in run.truth if row['iterations'] == 0}
    last = [row for row in run.truth if row['iterations'] == end]
    classes = [row['class'] for row in last]

    def draw(axes: Axes) -> None:
        axes.barh(classes, [row['mended'] for row in last], color=GOOD, label='mended')
        axes.barh(classes, [-row['spoilt'] for row in last], color=BAD, label='spoilt')
        axes.axvline(0, color=LINE, lw=0.8)
        for i, row in enumerate(last):
            if row['mended'] or row['spoilt']:
                _note(axes, f'{row["mended"]:,} / {row["spoilt"]:,}', i)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        axes.xaxis.set_major_formatter(lambda value, _: f'{abs(value):,.0f}')
        axes.set_xlabel(
            'pixels that became the class; on the right how many were mended and how many spoilt'
        )
        axes.figure.legend(loc='outside upper left', ncols=2)

    mended, spoilt = (sum(row[name] for row in last) for name in ('mended', 'spoilt'))
    rows = [
        [c['class'], c['mended'], c['spoilt'], c['still_wrong'], first.get(c['class']), c['iou']]
        for c in last
    ]
    told = f'{mended:,} pixels mended, {spoilt:,} spoilt'
    told += ': the correction spoils more than it mends' if spoilt > mended else ''
    header = ('class', 'mended', 'spoilt', 'still wrong', 'IoU at first', 'IoU at the end')
    title = f'Labels against the truth, which no training sees: {told}'
    return chart(draw, title, told, header, rows, (WIDE, 1 + 0.21 * len(classes)))


def label_agreement(run: RunFolder) -> Chart | None:
    """Return the curves that the correction decides by: IoU of predictions and labels by class."""
    curves = defaultdict(list)
    for row in run.curve:
        curves[row['class']].append((row['iteration'], row['iou']))
    if not curves:
        return None
    starts = [(r['class'], r['iteration']) for r in run.events if 'start' in r['event']]

    corrected = list(dict.fromkeys(of_class for of_class, _ in starts if of_class in curves))

    def draw(axes: Axes) -> None:
        for name, points in curves.items():
            if name not in corrected:
                axes.plot(*zip(*evenly_spaced(points, POINTS), strict=True), color=SOFT, lw=1)
        for i, name in enumerate(corrected):
            points = curves[name]
            axes.plot(*zip(*evenly_spaced(points, POINTS), strict=True), **series(i), label=name)
            begun = [point for point in points if (name, point[0]) in starts]
            axes.plot(*zip(*begun, strict=True), 'o', ms=5, color=series(i)['color'], mec=INK)
        if corrected:
            legend(axes, corrected)
        axes.set(xlabel='iteration', ylabel='IoU of prediction and label', ylim=(0, 1))

    told = '; '.join(f'{n} from {p[0][1]:.2f} to {p[-1][1]:.2f}' for n, p in curves.items())
    title = (
        'Agreement of predictions with labels by class; grey if never corrected, a dot at the start'
    )
    return chart(draw, title, told, ('class', 'iteration', 'IoU'), curve_rows(curves), (WIDE, 4.4))


def _note(axes: Axes, text: str, y: int) -> None:
    """Write beside the axes, on the right."""
    place = {'xy': (1, y), 'xycoords': ('axes fraction', 'data')}
    offset = {'xytext': (5, 0), 'textcoords': 'offset points'}
    axes.annotate(text, **place, **offset, va='center', fontsize=7.5, annotation_clip=False)
