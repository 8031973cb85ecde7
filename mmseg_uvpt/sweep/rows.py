"""The rows of the benchmark, found in the folder of configs; no recipe stands here."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmseg_uvpt.errors import UserError

# <method>_<backbone>_<source>.py in pretrain/; in uni_uvpt/ <the same>-to-<target>.py, and
# <the same>_<variant>.py for each variant of that adaptation
_SOURCE_MODEL = re.compile(r'(?P<method>[^_]+)_(?P<backbone>[^_]+)_(?P<source>[^_]+?)')
_ADAPTATION = re.compile(r'(?P<name>.+?)-to-(?P<target>[^_]+)(_(?P<variant>.+))?')
_USUAL_TARGET = 'cityscapes'
# how the published table writes what file names write in lower case, in its order
_METHODS = {'sss': 'SSS', 'source-gta': 'source-GtA'}
_SOURCES = {'gta5': 'GTA', 'synthia': 'SYNTHIA', 'cityscapes': 'Cityscapes'}
_BACKBONES = {'swin-b': 'Swin-B', 'mit-b5': 'MiT-B5'}


@dataclass(frozen=True)
class Row:
    """A source model and its adaptation.

    Attributes:
        name: file name of the pretraining's config, without suffix: the source model's.
        method: of the pretraining: ``'SSS'`` or ``'source-GtA'``.
        backbone: such as ``'Swin-B'``.
        source: data set, such as ``'GTA'``.
        pretraining: config; None where there is only an adaptation.
        adaptation: config; None where there is only a pretraining.
        variant: of the adaptation, such as an ablation's name; empty for the recipe itself.
            Variants share source model and pseudo labels.
        target: data set that is adapted to, such as ``'acdc'``; empty for Cityscapes. Those of one
            source model share its pretraining.
    """

    name: str
    method: str
    backbone: str
    source: str
    pretraining: Path | None
    adaptation: Path | None
    variant: str = ''
    target: str = ''

    @property
    def name_on_target(self) -> str:
        """Return the name of what the source model itself does on the target."""
        return f'{self.name}-to-{self.target}' if self.target else self.name

    @property
    def adapted_name(self) -> str:
        """Return the name of the adapted model."""
        name = self.name_on_target
        return f'{name}_{self.variant}' if self.variant else name

    @property
    def source_model(self) -> str:
        """Return how the published table calls the source model."""
        return f'{self.method} {self.backbone}, {self.source}'

    def __str__(self) -> str:
        parts = (self.source_model, self.target and f'to {self.target}', self.variant)
        return ', '.join(filter(None, parts))


def find_rows(config_root: str | Path) -> list[Row]:
    """Return the rows below a folder, in the order of the published table.

    Args:
        config_root: holds ``pretrain/*.py`` and ``uni_uvpt/*.py``. Without the first, it holds
            variants of adaptations whose source models the folder above pretrains.

    Raises:
        UserError: it holds none, or a file's name is not of the form above.
    """
    root = Path(config_root)
    adaptations, targets = {}, {}
    for path in sorted(root.glob('uni_uvpt/[!.]*.py')):
        parts = _ADAPTATION.fullmatch(path.stem)
        key = (parts['name'], parts['variant'] or '') if parts else (path.stem, '')
        if key in adaptations:
            raise UserError(
                f'{path} and {adaptations[key]} are adaptations of one source model, and of one '
                'name: call one <method>_<backbone>_<source>-to-<target>_<variant>.py'
            )
        adaptations[key] = path
        if parts and parts['target'] != _USUAL_TARGET:
            targets[key] = parts['target']
    adapted = {name for name, _ in adaptations}
    if (root / 'pretrain').is_dir():
        pretrainings = {path.stem: path for path in root.glob('pretrain/[!.]*.py')}
    else:
        above = {name: root.resolve().parent / f'pretrain/{name}.py' for name in adapted}
        pretrainings = {name: path for name, path in above.items() if path.is_file()}
    keys = {*adaptations, *((name, '') for name in pretrainings.keys() - adapted)}
    if not keys:
        raise UserError(f'{root} holds no configs pretrain/*.py and uni_uvpt/*.py')
    rows = [
        _row(*key, pretrainings.get(key[0]), adaptations.get(key), targets.get(key, ''))
        for key in keys
    ]
    return sorted(rows, key=_published_order)


def _row(
    name: str, variant: str, pretraining: Path | None, adaptation: Path | None, target: str
) -> Row:
    parts = _SOURCE_MODEL.fullmatch(name)
    if not parts:
        raise UserError(
            f'config {pretraining or adaptation}: the name of a recipe is '
            '<method>_<backbone>_<source>.py, such as sss_swin-b_gta5.py'
        )
    method = _METHODS.get(parts['method'], parts['method'])
    backbone = _BACKBONES.get(parts['backbone'], parts['backbone'])
    source = _SOURCES.get(parts['source'], parts['source'])
    return Row(name, method, backbone, source, pretraining, adaptation, variant, target)


def _published_order(row: Row) -> tuple:
    return (
        _place(row.method, _METHODS.values()),
        _place(row.source, _SOURCES.values()),
        _place(row.backbone, _BACKBONES.values()),
        row.name,
        row.variant,
    )


def _place(label: str, known: Iterable[str]) -> int:
    known = list(known)
    return known.index(label) if label in known else len(known)
