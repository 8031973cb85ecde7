"""The rows of the benchmark, found in the folder of configs; no recipe stands here."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmseg_uvpt.errors import UserError

# <method>_<backbone>_<source>.py in pretrain/, <the same>-to-<target>.py in uni_uvpt/
_NAME = re.compile(r'(?P<method>[^_]+)_(?P<backbone>[^_]+)_(?P<source>[^_]+?)(-to-(?P<target>.+))?')
# how the published table writes what file names write in lower case, in its order
_METHODS = {'sss': 'SSS', 'source-gta': 'source-GtA'}
_SOURCES = {'gta5': 'GTA', 'synthia': 'SYNTHIA'}
_BACKBONES = {'swin-b': 'Swin-B', 'mit-b5': 'MiT-B5'}


@dataclass(frozen=True)
class Row:
    """A source model and its adaptation.

    Attributes:
        name: file name of the pretraining's config, without suffix.
        method: of the pretraining: ``'SSS'`` or ``'source-GtA'``.
        backbone: such as ``'Swin-B'``.
        source: data set, ``'GTA'`` or ``'SYNTHIA'``.
        pretraining: config; None where there is only an adaptation.
        adaptation: config; None where there is only a pretraining.
    """

    name: str
    method: str
    backbone: str
    source: str
    pretraining: Path | None
    adaptation: Path | None

    def __str__(self) -> str:
        return f'{self.method} {self.backbone}, {self.source}'


def find_rows(config_root: str | Path) -> list[Row]:
    """Return the rows below a folder, in the order of the published table.

    Args:
        config_root: holds ``pretrain/*.py`` and ``uni_uvpt/*.py``.

    Raises:
        UserError: it holds none, or a file's name is not of the form above.
    """
    root = Path(config_root)
    pretrainings = {path.stem: path for path in root.glob('pretrain/[!.]*.py')}
    adaptations = {}
    for path in sorted(root.glob('uni_uvpt/[!.]*.py')):
        name = re.sub('-to-.*', '', path.stem)
        if name in adaptations:
            raise UserError(f'{path} and {adaptations[name]} are adaptations of one source model')
        adaptations[name] = path
    names = pretrainings.keys() | adaptations.keys()
    if not names:
        raise UserError(f'{root} holds no configs pretrain/*.py and uni_uvpt/*.py')
    rows = [_row(name, pretrainings.get(name), adaptations.get(name)) for name in names]
    return sorted(rows, key=_published_order)


def _row(name: str, pretraining: Path | None, adaptation: Path | None) -> Row:
    parts = _NAME.fullmatch(name)
    if not parts:
        raise UserError(
            f'config {pretraining or adaptation}: the name of a recipe is '
            '<method>_<backbone>_<source>.py, such as sss_swin-b_gta5.py'
        )
    method = _METHODS.get(parts['method'], parts['method'])
    backbone = _BACKBONES.get(parts['backbone'], parts['backbone'])
    source = _SOURCES.get(parts['source'], parts['source'])
    return Row(name, method, backbone, source, pretraining, adaptation)


def _published_order(row: Row) -> tuple:
    return (
        _place(row.method, _METHODS.values()),
        _place(row.source, _SOURCES.values()),
        _place(row.backbone, _BACKBONES.values()),
        row.name,
    )


def _place(label: str, known: Iterable[str]) -> int:
    known = list(known)
    return known.index(label) if label in known else len(known)
