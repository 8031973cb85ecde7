"""What a page shows of runs as charts: scores and losses over time, classes, confusion."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogFormatter

from mmseg_uvpt.evenly_spaced import evenly_spaced
from mmseg_uvpt.report.charts import (
    BAD,
    GOOD,
    INK,
    POINTS,
    SERIES,
    SOFT,
    Chart,
    chart,
    curve_rows,
    legend,
    series,
)
from mmseg_uvpt.report.run_folder import RunFolder


def score_curve(runs: Sequence[RunFolder]) -> Chart | None:
    """Return mIoU over the iterations of each run that was evaluated, with intervals."""
    metrics = {run.name: metric_of(run) for run in runs if evaluations(run)}
    if not metrics:
        return None
    what = ' or '.join(dict.fromkeys(metrics.values()))
    names = {run: f'{run}, {m}' if what != m else run for run, m in metrics.items()}
    curves = {names[run.name]: evaluations(run) for run in runs if run.name in names}
    chosen = {names[r.name]: r.selection.get('selected') for r in runs if r.name in names}

    def draw(axes: Axes) -> None:
        for i, (name, points) in enumerate(curves.items()):
            steps, scores, lows, highs = zip(*points, strict=True)
            axes.plot(steps, scores, marker='o', ms=3.5, **series(i), label=name)
            known = [i for i, low in enumerate(lows) if low is not None]
            bounds = ([bound[i] for i in known] for bound in (lows, highs))
            place = [steps[i] for i in known]
            axes.fill_between(place, *bounds, color=series(i)['color'], alpha=0.15, lw=0)
            if chosen[name] in steps:
                point = chosen[name], scores[steps.index(chosen[name])]
                axes.plot(*point, 'o', ms=10, mfc='none', mec=INK, mew=1.2)
        axes.set(xlabel='iteration', ylabel=f'{what}, %')
        legend(axes, list(curves))

    told = '; '.join(f'{n} from {p[0][1]:.1f} to {p[-1][1]:.1f}' for n, p in curves.items())
    title = f'{what} by the labels in the course of training; a ring is round the chosen model'
    return chart(draw, title, told, ('run', 'iteration', what, 'low', 'high'), curve_rows(curves))


def metric_of(run: RunFolder) -> str:
    """Return the name of the mean IoU that the evaluations of a run go by."""
    return run.selection.get('metric') or run.counting_score or 'mIoU'


def evaluations(run: RunFolder) -> list[tuple]:
    """Return iteration, score (`metric_of`) and bounds of each evaluation, the last of its step."""
    found, metric = {}, metric_of(run)
    for line in run.logged:
        if metric in line and 'step' in line:
            # runs of before 2026-11-29 have bounds of the mean over all classes alone
            name = metric if f'{metric}_low' in line or line[metric] != line.get('mIoU') else 'mIoU'
            bounds = [line.get(f'{name}_{end}') for end in ('low', 'high')]
            found[line['step']] = (line[metric], *bounds)
    for each in run.selection.get('candidates') or []:
        if each.get('score') is not None:
            found[each['iteration']] = (each['score'], *(each.get('interval') or (None, None)))
    return [(step, *values) for step, values in sorted(found.items())]


def loss_curves(runs: Sequence[RunFolder]) -> Chart | None:
    """Return the losses of each run over its iterations."""
    curves = {}
    for run in runs:
        for line in run.logged:
            for name in line:
                if name.startswith('loss') or name.endswith('.loss_ce'):
                    label = f'{run.name}: {name}' if len(runs) > 1 else name
                    if len(runs) == 1 or name == 'loss':
                        # a run that was resumed has logged some iterations twice
                        curves.setdefault(label, {})[line.get('step', 0)] = line[name]
    curves = {n: sorted(points.items()) for n, points in curves.items() if len(points) > 1}
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        for i, (name, points) in enumerate(curves.items()):
            axes.plot(*zip(*evenly_spaced(points, POINTS), strict=True), **series(i), label=name)
        axes.set(xlabel='iteration', ylabel='loss')
        if min(y for points in curves.values() for _, y in points) > 0:
            axes.set_yscale('log')
            axes.yaxis.set_major_formatter(LogFormatter())
            axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
        legend(axes, list(curves))

    told = '; '.join(f'{n} from {p[0][1]:.3g} to {p[-1][1]:.3g}' for n, p in curves.items())
    return chart(draw, 'Losses', told, ('loss', 'iteration', 'value'), curve_rows(curves))


def class_differences(of_runs: Mapping[str, Mapping[str, Mapping]]) -> Chart | None:
    """Return adapted minus source of each class, with its interval, of each run.

    Args:
        of_runs: names of runs to rows as of `ClassScores`.
    """
    found = [
        (name, of_class, row['difference'], row.get('interval'))
        for name, rows in of_runs.items()
        for of_class, row in rows.items()
        if row.get('difference') is not None
    ]
    if not found:
        return None
    classes = list(dict.fromkeys(of_class for _, of_class, _, _ in found))
    names = list(dict.fromkeys(name for name, _, _, _ in found))

    def draw(axes: Axes) -> None:
        for name, of_class, points, interval in found:
            shift = (names.index(name) - (len(names) - 1) / 2) * 0.7 / len(names)
            y = classes.index(of_class) + shift
            sign = GOOD if points > 0 else BAD if points < 0 else SOFT
            colour = sign if len(names) == 1 else SERIES[names.index(name) % len(SERIES)]
            if interval:
                axes.plot(interval, (y, y), color=colour, lw=2.2, alpha=0.55)
            axes.plot(points, y, 'o', ms=4.5, color=colour)
        for i, name in enumerate(names if len(names) > 1 else ()):
            axes.plot([], [], 'o', color=SERIES[i % len(SERIES)], label=name)
        axes.axvline(0, color=INK, lw=0.8)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_ylim(len(classes) - 0.4, -0.6)
        axes.set_xlabel('adapted minus source, points of IoU')
        if len(names) > 1:
            legend(axes, names)

    best, worst = max(found, key=lambda row: row[2]), min(found, key=lambda row: row[2])
    told = f'largest: {best[1]} {best[2]:+.1f}; smallest: {worst[1]} {worst[2]:+.1f}'
    rows = [[n, c, d, *(interval or (None, None))] for n, c, d, interval in found]
    header = ('run', 'class', 'difference', 'low', 'high')
    title = 'Difference by class, with 95 % intervals'
    return chart(
        draw, title, told, header, rows, (5.6, 1 + 0.27 * len(classes) * max(1, len(names) / 3))
    )


def confusion(counts: np.ndarray, classes: Sequence[str], title: str) -> Chart:
    """Return which class the pixels of each true class are predicted as.

    Args:
        counts: (C, C), rows are true classes, columns predicted ones.
        classes: their names.
        title: of the chart.
    """
    present = [i for i in range(len(classes)) if counts[i].any()]
    share = counts[present] / counts[present].sum(axis=1, keepdims=True)

    def draw(axes: Axes) -> None:
        axes.grid(False)
        for y, row in enumerate(share):
            for x, value in enumerate(row):
                if value >= 0.005:
                    right = x == present[y]
                    box = Rectangle((x - 0.5, y - 0.5), 1, 1, color=GOOD if right else BAD, lw=0)
                    box.set_alpha(0.12 + 0.38 * value)  # more, and its text is hard to read
                    axes.add_patch(box)
                    told = f'{100 * value:.0f}'
                    cell = axes.text(x, y, told, ha='center', va='center', fontsize=6.5)
                    cell.set_in_layout(False)  # which would take seconds
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(present)), [classes[i] for i in present])
        axes.set_xlim(-0.5, len(classes) - 0.5)
        axes.set_ylim(len(present) - 0.5, -0.5)
        axes.set(xlabel='predicted', ylabel='true')

    rows = [
        [classes[i], *(round(100 * float(value), 1) for value in row)]
        for i, row in zip(present, share, strict=True)
    ]
    wrong = share.copy()
    wrong[range(len(present)), present] = 0
    y, x = np.unravel_index(wrong.argmax(), wrong.shape)
    told = f'most often confused: {classes[present[y]]}, {100 * wrong[y, x]:.0f} % of which is '
    told += f'predicted as {classes[x]}'
    side = 1.6 + 0.27 * len(classes)
    return chart(draw, title, told, ('true', *classes), rows, (side, side))
