"""The model zoo as text, as JSON and as the tables of ``model/README.md``."""

import json
from dataclasses import asdict
from pathlib import Path

from prettytable import PrettyTable

from mmseg_uvpt.checkpoints.zoo.files import STAGES, ZooFile

_TITLES = {
    'imagenet': 'ImageNet weights, for `pretrain.py`',
    'style': 'Style networks, for `pretrain.py` with source-GtA',
    'source': 'Source models',
    'adapted': 'Adapted models',
}


def score_text(entry: ZooFile) -> str:
    """Return the published score, as ``52.6 (16) / 59.4 (13)``."""
    scores = (entry.score or {}).items()
    return ' / '.join(f'{number} ({name.removeprefix("mIoU")})' for name, number in scores)


def text_table(files: list[ZooFile], root: Path) -> str:
    """Return a table for the console: which files are there, and what evaluates or reads them."""
    table = PrettyTable(['file', 'there', 'stage', 'mIoU (classes)', 'config'])
    table.align = 'l'
    for entry in files:
        there = 'yes' if (root / entry.file).is_file() else 'no'
        table.add_row([entry.file, there, entry.stage, score_text(entry), entry.config])
    return table.get_string()


def as_json(files: list[ZooFile], root: Path) -> str:
    """Return the entries as JSON, each with its ``path`` and whether it is ``there``."""
    paths = {entry.file: root / entry.file for entry in files}
    return json.dumps(
        [
            {**asdict(e), 'path': str(paths[e.file]), 'there': paths[e.file].is_file()}
            for e in files
        ],
        indent=2,
        ensure_ascii=False,
    )


def markdown(files: list[ZooFile]) -> str:
    """Return a Markdown table a stage, links to the configs as seen from ``model/``."""
    blocks = []
    for stage in STAGES:
        entries = [entry for entry in files if entry.stage == stage]
        if entries:
            head = '| file, below `model/` | what | mIoU | config | size, sha256 | origin |'
            lines = [f'### {_TITLES[stage]}', '', head, '|---' * 6 + '|']
            blocks.append('\n'.join([*lines, *map(_row, entries)]))
    return '\n\n'.join(blocks)


def _row(entry: ZooFile) -> str:
    size = f'{entry.size / 1e6:,.1f} MB' if entry.size else 'unknown'
    digits = entry.sha256 or (entry.sha256_prefix and f'{entry.sha256_prefix}...') or 'unknown'
    known = f'{size}, `{digits}`' if digits != 'unknown' else f'{size}, {digits}'
    cells = (
        f'`{entry.file}`',
        entry.what,
        score_text(entry),
        f'[`{Path(entry.config).name}`](../{entry.config})',
        'unknown' if known == 'unknown, unknown' else known,
        f'[{"/".join(entry.link.split("/")[2:4])}]({entry.link})',
    )
    return f'| {" | ".join(cells)} |'
