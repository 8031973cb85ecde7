"""The rows of the leaderboard: records of runs over their seeds, and beside those of two baselines.

All scores are mIoU over 19 classes in percent. A difference to a baseline is the mean over the
seeds that both have. Its interval is that of a paired bootstrap over images: in each resample both
models are scored on the same images, drawn for each seed, and the differences of the seeds are
averaged. It says what other images would change, not what other trainings would; the deviation over
seeds does.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmseg_uvpt.demo.settings import FULL, STATISTICS
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.bootstrap import ImageCounts, mean_difference_interval
from mmseg_uvpt.leaderboard.plan import place
from mmseg_uvpt.leaderboard.run_record import BY_LABELS, LAST_ONE, SOURCE, read_record
from mmseg_uvpt.selection.committee import GUARDED, TARGET_LABELS

CHECKPOINTS = (SOURCE, LAST_ONE, GUARDED, BY_LABELS)
BASELINES = (FULL, STATISTICS)


class Spread(NamedTuple):
    """Mean over seeds (None of none), sample standard deviation (None of one), their number."""

    mean: float | None
    deviation: float | None
    seeds: int


class Difference(NamedTuple):
    """Mean difference over seeds, the bounds of its interval (None of few images), their number."""

    mean: float | None
    low: float | None
    high: float | None
    seeds: int


class Gain(NamedTuple):
    """The least difference over seeds (None of none), and their number."""

    mean: float | None
    seeds: int


@dataclass(frozen=True, eq=False)
class Row:
    """All runs of one way of adapting a source model of one backbone.

    Attributes:
        records: of adaptations, by seed.
        sources: records of their source models, by seed.
    """

    records: dict[int, dict]
    sources: dict[int, dict]

    @cached_property
    def facts(self) -> dict:
        """A record, for what is the same in all."""
        return self.records[min(self.records)]

    def scores(self, which: str) -> dict[int, float]:
        """Return mIoU by seed of one of `CHECKPOINTS`, where a run has it."""
        found = {seed: _score(record, which) for seed, record in self.records.items()}
        return {seed: score for seed, score in found.items() if score is not None}

    def spread(self, which: str) -> Spread:
        """Return mean and deviation of a checkpoint's scores."""
        scores = list(self.scores(which).values())
        mean = statistics.mean(scores) if scores else None
        return Spread(mean, statistics.stdev(scores) if len(scores) > 1 else None, len(scores))

    def gains(self, which: str) -> list[float]:
        """Return by how much each of a checkpoint's models is above its source model."""
        source = self.scores(SOURCE)
        return [score - source[seed] for seed, score in self.scores(which).items()]

    def worst_gain(self, which: str) -> Gain:
        """Return a checkpoint's least gain over the source model."""
        gains = self.gains(which)
        return Gain(min(gains, default=None), len(gains))

    def corrected(self) -> list[tuple[int, int]]:
        """Return the pixels that the label correction of each run mended and spoilt, if any."""
        found = (record.get('label_correction') for record in self.records.values())
        ends = ((each['mended'][-1], each['spoilt'][-1]) for each in found if each)
        return [end for end in ends if any(end)]

    def difference(self, which: str, baseline: 'Row | None') -> Difference:
        """Compare a checkpoint with the last one of a baseline, over the seeds that kept both."""
        # of what was chosen and not kept a score is all there is
        scored = {seed for seed, record in self.records.items() if which in record['iteration']}
        ours = {seed: score for seed, score in self.scores(which).items() if seed in scored}
        same = baseline is self and which == LAST_ONE
        theirs = baseline.scores(LAST_ONE) if baseline and not same else {}
        seeds = sorted(ours.keys() & theirs.keys())
        if not seeds:
            return Difference(None, None, None, 0)
        mean = statistics.mean(ours[seed] - theirs[seed] for seed in seeds)
        pairs = {
            seed: (_counts(self, which, seed), _counts(baseline, LAST_ONE, seed)) for seed in seeds
        }
        interval = mean_difference_interval(pairs)
        bounds = interval.in_percent() if interval else (None, None)
        return Difference(mean, *bounds, len(seeds))


def _score(record: dict, which: str) -> float | None:
    """Return a checkpoint's score; of one that a rule chose and nobody kept, the evaluation's."""
    rule = {GUARDED: GUARDED, BY_LABELS: TARGET_LABELS}.get(which)
    choices = (record.get('selection') or {}).get('choices', {})
    return record['mIoU'].get(which, choices.get(rule, {}).get('score'))


@cache
def _counts(row: Row, which: str, seed: int) -> ImageCounts:
    """Return what was counted of a checkpoint in each image of a seed."""
    record, source = row.records[seed], row.sources[seed]
    # the model that an adaptation begins with is counted once, in the record of the source
    counts = record['counts'].get(str(record['iteration'][which]), source['counts'])
    named = {**counts, 'truth': source['ground_truth_pixels']}
    return ImageCounts(**{name: np.array(count) for name, count in named.items()})


def read_rows(folder: Path) -> list[Row]:
    """Return all rows of which there are records, in the order of the plan.

    Raises:
        UserError: there is none, one cannot be read, or two are not of the same source model.
    """
    records: dict[tuple, dict[int, dict]] = defaultdict(dict)
    sources: dict[tuple, dict[int, dict]] = defaultdict(dict)
    for path in sorted(folder.glob('*/*_seed*.json')):
        record = read_record(path)
        backbone, seed = record['backbone'], record['seed']
        if path.name.startswith(f'{SOURCE}_'):
            sources[backbone][seed] = record
        else:
            records[backbone, record['row']][seed] = record
    if not records:
        raise UserError(f'{folder} holds no record of a run: python tools/leaderboard.py run')
    for (backbone, row), by_seed in records.items():
        lengths = {record['iterations']: seed for seed, record in by_seed.items()}
        if len(lengths) > 1:
            named = ' and '.join(f'{n} (seed {seed})' for n, seed in lengths.items())
            raise UserError(
                f'{folder}/{backbone}/{row}_seed*.json are of trainings of {named} iterations, '
                'which have no common mean: delete those of a quick look'
            )
        for seed, record in by_seed.items():
            path = f'{folder}/{backbone}/{row}_seed{seed}.json'
            source = sources[backbone].get(seed, {})
            if record['source_weights_sha256'] != source.get('weights_sha256'):
                raise UserError(
                    f'{path} is of another source model than {SOURCE}_seed{seed}.json beside it: '
                    'restore the latter, or delete the former'
                )
            images = len(source['ground_truth_pixels'])
            if any(len(c['intersection']) != images for c in record['counts'].values()):
                raise UserError(
                    f'{path} counts other images than {SOURCE}_seed{seed}.json, which has {images}'
                )
    rows = [Row(by_seed, sources[backbone]) for (backbone, _), by_seed in records.items()]
    return sorted(rows, key=lambda row: place(row.facts))


def summarise(row: Row, rows: Sequence[Row]) -> dict[str, object]:
    """Return the entries of a row of the table by their titles.

    Args:
        row: one of ``rows``.
        rows: all, among them the baselines.
    """
    facts = row.facts
    beside = {r.facts['row']: r for r in rows if r.facts['backbone'] == facts['backbone']}
    parameters = facts['parameters']
    return {
        **{name: facts[name] for name in ('backbone', 'method', 'tuner', 'variant')},
        'seeds': sorted(row.records),
        **{name: row.spread(name) for name in CHECKPOINTS},
        **{
            f'{which} - {name}': row.difference(which, beside.get(name))
            for which in (LAST_ONE, GUARDED)
            for name in BASELINES
        },
        **{f'worst gain: {which}': row.worst_gain(which) for which in (LAST_ONE, GUARDED)},
        'parameters trained': parameters.get('trainable'),
        'parameters added': parameters.get('prompts'),
        's/iteration': _mean(record['seconds_per_iteration'] for record in row.records.values()),
        'iterations': facts['iterations'],
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None
