"""The runs that the leaderboard compares, in the order in which they are made."""

from collections.abc import Collection, Iterator, Sequence

from mmseg_uvpt.demo.settings import FULL, METHODS, PROMPTS, TUNERS, UNFIT, Settings
from mmseg_uvpt.shipped import shipped

BACKBONES = ('efficientnet-lite0', 'swin')
SEEDS = (0, 1, 2)


def planned_runs(
    seeds: Sequence[int] = SEEDS, backbones: Sequence[str] = BACKBONES, **quick: int | None
) -> list[Settings]:
    """Return what is to be run: methods, then what is tuned, then ablations.

    Within each of the three, the first seed of all rows comes before the second one, so that a
    table of few runs compares many rows.

    Args:
        seeds: of each row.
        backbones: of each row, those of them that it fits.
        **quick: frames and iterations of a quick look, see `Settings`.
    """
    return [
        settings
        for group in (_methods, _tuners, _ablations)
        for seed in dict.fromkeys(seeds)
        for backbone in dict.fromkeys(backbones)
        for settings in group(Settings(seed=seed, backbone=backbone, **quick))
    ]


def place(record: dict) -> tuple:
    """Return what a run's record is sorted by in tables: backbone, method, what is tuned."""
    method, tuner, row = record['method'], record['tuner'], record['row']
    return (
        *(_index(record['backbone'], BACKBONES), row != method, bool(record['variant'])),
        *(_index(method, METHODS), _index(tuner, TUNERS), row),
    )


def _index(name: str, known: Collection[str]) -> int:
    return [*known, name].index(name)


def _methods(settings: Settings) -> Iterator[Settings]:
    for method in METHODS:
        found = settings.but(method=method)
        if shipped(found.adaptation).is_file():
            yield found


def _tuners(settings: Settings) -> Iterator[Settings]:
    for tuner in TUNERS:
        if tuner != PROMPTS and settings.backbone not in UNFIT.get(tuner, ()):
            yield settings.but(method=FULL, tuner=tuner)


def _ablations(settings: Settings) -> Iterator[Settings]:
    from mmseg_uvpt.engine.config.ablation_options import ablations  # takes seconds

    for variant in ablations():
        if not variant.startswith('tuner-'):  # those are run by `_tuners`
            yield settings.but(method=FULL, variant=variant)
