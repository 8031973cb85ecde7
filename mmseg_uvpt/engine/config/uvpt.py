"""The entries of ``cfg.uvpt``: all of this project's own that are not arguments of a class.

Everything else at the top level of a config is mmengine's or mmseg's, or a variable of its file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import get_type_hints

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.tuners.version_0_1 import as_written_now, option_as_written_now

# what stood at the top level in version 0.1
MOVED = (
    *('data_root', 'image_cache', 'max_skipped_in_a_row', 'compile'),
    *('published', 'released_checkpoint'),
)


@dataclass(frozen=True)
class UvptConfig:
    """What ``cfg.uvpt`` may say, with the values that count where it says nothing.

    Attributes:
        data_root: what a leading ``data`` stands for in any ``data_root``, ``pseudo_label_dir`` or
            ``style_dir``: the folder of all data sets.
        cityscapes_root: folder of Cityscapes where it is not ``cityscapes`` below `data_root`.
        image_cache: folder of decoded and resized images; None for none.
        max_skipped_in_a_row: iterations without a finite loss or gradient that end a training.
        plain: what ``--plain`` sets: nothing is accelerated, operators run as their references.
        amp: what ``--amp`` sets: mixed precision.
        low_memory: what ``--low-memory`` sets: activation checkpointing.
        compile: what ``--compile`` sets.
        compile_backend: of `torch.compile`, on a CPU.
        compile_limit: seconds after which a CPU goes on uncompiled; None for no limit.
        report: whether `train.py` and `test.py` end with a page on the run.
        published: mIoU of the ``source`` model and the ``adapted`` one by class set, as published.
        released_checkpoint: file of the model that the recipe's authors released.

    Raises:
        UserError: a value has another type.
    """

    data_root: str = 'data'
    cityscapes_root: str | None = None
    image_cache: str | None = None
    max_skipped_in_a_row: int = 20
    plain: bool = False
    amp: bool = False
    low_memory: bool = False
    compile: bool = False
    compile_backend: str = 'inductor'
    compile_limit: int | float | None = 120
    report: bool = True
    published: dict | None = None
    released_checkpoint: str | None = None

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                told = getattr(kind, '__name__', str(kind))
                raise UserError(f'uvpt.{name}={value!r} must be of type {told}')


KEYS = tuple(field.name for field in fields(UvptConfig))


def uvpt_config(cfg: Config) -> UvptConfig:
    """Return the entries of ``cfg.uvpt``.

    Raises:
        UserError: one is not known, and the nearest is named; or has another type.
    """
    entries = cfg.get('uvpt') or {}
    for name in entries:
        if name not in KEYS:
            nearest = get_close_matches(name, KEYS, 1, 0)[0]
            raise UserError(
                f'config {cfg.filename}: nothing reads uvpt.{name}; nearest is uvpt.{nearest}'
            )
    return UvptConfig(**entries)


def translate(cfg: Config) -> None:
    """Put entries of version 0.1 where they are now, in place."""
    for name in MOVED:
        if name in cfg:
            cfg.merge_from_dict({f'uvpt.{name}': cfg.pop(name)})
    if 'low_memory' in (cfg.get('model') or {}):
        cfg.merge_from_dict({'uvpt.low_memory': cfg.model.pop('low_memory')})
    if 'model' in cfg and isinstance(cfg.model, dict):
        try:
            cfg.model = as_written_now(cfg.model)
        except ValueError as error:
            raise UserError(f'config {cfg.filename}: {error}') from error


def translate_options(options: Iterable[str], cfg: Config) -> list[str]:
    """Return ``key=value`` texts for a config with the keys of version 0.1 where they are now."""
    translated = []
    backbone = ((cfg.get('model') or {}).get('backbone') or {}).get('type')
    for option in options:
        key, equals, value = option.partition('=')
        key = (
            f'uvpt.{key}'
            if key.partition('.')[0] in MOVED
            else option_as_written_now(key, backbone)
        )
        translated.append(key + equals + value)
    return translated
