"""The ablations: what each file of configs/ablations changes of its recipe, for other recipes too.

The files alone say it. What they change fits any recipe of the method, such as the demo's.
"""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.shipped import shipped

FULL = 'sss_swin-b_gta5-to-cityscapes'  # the recipe that they change
# of the label correction, by their share of the recipe's own: they count iterations and images
PROPORTIONAL = (
    'default_hooks.label_correction.interval',
    'default_hooks.label_correction.queue_length',
)


def ablations() -> list[str]:
    """Return the names of the ablations, such as ``'interval-100'``, in alphabetical order."""
    paths = _folder().glob(f'{FULL}_*.py')
    return sorted(path.stem.removeprefix(f'{FULL}_') for path in paths)


def ablation_options(name: str, recipe: Config | None = None) -> list[str]:
    """Return what an ablation changes, as ``--cfg-options`` takes it: ``key=value`` texts.

    Args:
        name: one of `ablations`.
        recipe: that it shall change; None for the published one.
    """
    published = read(_folder() / f'{FULL}.py', import_modules=False)
    before = dict(_entries(published))
    after = _entries(read(_folder() / f'{FULL}_{name}.py', import_modules=False))
    changed = {k: value for k, value in after if k not in before or before[k] != value}
    for key in PROPORTIONAL:
        if recipe is not None and key in changed:
            changed[key] = round(changed[key] / before[key] * dict(_entries(recipe))[key])
    return [f'{key}={value}'.replace(' ', '') for key, value in changed.items()]


def _folder() -> Path:
    return shipped('configs') / 'ablations/uni_uvpt'


def _entries(node: dict, above: str = '') -> Iterator[tuple[str, object]]:
    """Yield the dotted keys of a config with their values, but for ``uvpt``."""
    for name, value in node.items():
        key = f'{above}{name}'
        if isinstance(value, dict) and value:
            yield from _entries(value, f'{key}.')
        elif not key.startswith('uvpt.'):
            yield key, value
