"""How far a variant of the method, such as an ablation, is above the full one."""

import statistics
from collections.abc import Sequence
from operator import itemgetter

from mmseg_uvpt.evaluation.bootstrap import Interval, mean_difference_interval
from mmseg_uvpt.sweep.results_table import Result


def less_full(
    result: Result, results: Sequence[Result], size: int
) -> tuple[float, Interval | None] | None:
    """Compare a variant with the full method, over the seeds of a work root that have both.

    Args:
        result: of the variant.
        results: all of them, among which that of the full method is looked for.
        size: number of classes that the mean IoU is over.

    Returns:
        tuple: the mean difference of the adapted models' mIoU, in points, and its 95 % interval by
        resamples of the images (None of few images, or where they were not counted one by one);
        None where no seed has both, scored alike on the same images, and of the full method itself.
    """
    full = next((other for other in results if _is_full_of(other, result)), None)
    theirs = {(run.root, run.seed): run for run in (full.runs if full else ())}
    together = [(r, theirs[key]) for r in result.runs if (key := (r.root, r.seed)) in theirs]
    name = f'mIoU{size}'
    pairs = [pair for pair in together if _are_alike(*(run.test for run in pair), name)]
    if not pairs:
        return None
    mean = statistics.mean(ours.test[name] - other.test[name] for ours, other in pairs)
    counts = {i: (ours.counts, other.counts) for i, (ours, other) in enumerate(pairs)}
    if not all(all(pair) for pair in counts.values()):
        return mean, None
    score = pairs[0][0].test
    subset = [score['classes'].index(each) for each in score['classes_of_mean'][name]]
    interval = mean_difference_interval(counts, subset)
    return mean, interval and interval.in_percent()


def _is_full_of(other: Result, result: Result) -> bool:
    """Tell whether a result is that of the full method, of which another is a variant."""
    same = (other.row.name, other.row.target) == (result.row.name, result.row.target)
    are_two = bool(result.row.variant) and not other.row.variant
    return same and are_two and all(a.is_like(b) for a in other.runs for b in result.runs)


def _are_alike(ours: dict, theirs: dict, name: str) -> bool:
    """Tell whether two results have a score, by the same kind of test of the same images."""
    if None in (ours.get(name), theirs.get(name)):
        return False
    truth = [each.get('of_each_frame', {}).get('ground_truth_pixels') for each in (ours, theirs)]
    kind = itemgetter('aug_test', 'amp', 'frames', 'ground_truth_pixels')
    try:
        return kind(ours) == kind(theirs) and truth[0] == truth[1]
    except KeyError:  # of a version that did not say
        return False
