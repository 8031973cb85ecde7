"""The model zoo: every published file that the recipes name, read from ``model/zoo.json``."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from prettytable import PrettyTable

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import file_hash, read_object
from mmseg_uvpt.progress import progress
from mmseg_uvpt.shipped import shipped
from mmseg_uvpt.tables import markdown

ZOO = shipped('model/zoo.json')
_HEAD = ('file, below `model/`', 'what', 'mIoU', 'config', 'size, sha256', 'origin')
STAGES = {
    'imagenet': 'ImageNet weights, for `pretrain.py`',
    'style': 'Style networks, for `pretrain.py` with source-GtA',
    'source': 'Source models',
    'adapted': 'Adapted models, the best of their evaluations by target labels',
}


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_path(value: object) -> bool:
    path = PurePosixPath(value) if _matches(r'[^\\]+', value) else PurePosixPath('/')
    return not path.is_absolute() and '..' not in path.parts


def _is_score(value: object) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and value.keys() <= {'mIoU19', 'mIoU16', 'mIoU13'}
        and all(type(number) in (int, float) and 0 <= number <= 100 for number in value.values())
    )


@dataclass(frozen=True)
class ZooFile:
    """A published file.

    Attributes:
        file: its path below the model folder.
        stage: what it is for, one of `STAGES`.
        what: which model or network, in words.
        config: that evaluates it or reads it, from the repository's root.
        score: mIoU in percent on Cityscapes val as published, by ``mIoU19``, ``mIoU16`` and
            ``mIoU13``; None for what has none.
        size: in bytes, None where unknown.
        sha256: in hexadecimal digits, None where unknown.
        link: where it is published.
        sha256_prefix: the first digits of the hash, where only they are known.

    Raises:
        ValueError: a value is wrong.
    """

    file: str
    stage: str
    what: str
    config: str
    score: dict[str, float] | None
    size: int | None
    sha256: str | None
    link: str
    sha256_prefix: str | None = None

    def __post_init__(self):
        score = 'null, or mIoU19, mIoU16 and mIoU13 with numbers from 0 to 100'
        sized = self.size is None or (type(self.size) is int and self.size > 0)
        hashed = self.sha256 is None or _matches('[0-9a-f]{64}', self.sha256)
        begun = self.sha256_prefix is None or _matches('[0-9a-f]{1,64}', self.sha256_prefix)
        for name, serves, wanted in (
            ('file', _is_path(self.file), 'a path below the model folder'),
            ('stage', self.stage in tuple(STAGES), f'one of {", ".join(STAGES)}'),
            ('what', _matches('.+', self.what), 'a text'),
            ('config', _is_path(self.config), 'a path from the root of the repository'),
            ('score', self.score is None or _is_score(self.score), score),
            ('size', sized, 'null or a number of bytes'),
            ('sha256', hashed, 'null or 64 hexadecimal digits'),
            ('link', _matches(r'https://\S+', self.link), 'a link, https://...'),
            ('sha256_prefix', begun, 'null or hexadecimal digits'),
        ):
            if not serves:
                raise ValueError(f'{name} is {getattr(self, name)!r}, must be {wanted}')

    @property
    def score_text(self) -> str:
        """The published score, as ``52.6 (16) / 59.4 (13)``."""
        scores = (self.score or {}).items()
        return ' / '.join(f'{number} ({name.removeprefix("mIoU")})' for name, number in scores)


def read_zoo(path: str | Path = ZOO) -> list[ZooFile]:
    """Read and validate the list of published files.

    Raises:
        UserError: it is missing or no JSON, or an entry is wrong; names file, entry and value.
    """
    cure = 'it is part of the repository: git checkout -- model/zoo.json'
    entries = read_object(path, cure).get('files')
    if not isinstance(entries, list):
        raise UserError(f'{path} must hold {{"files": [...]}}, an entry a file')
    files: dict[str, ZooFile] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise UserError(f'{path}, entry {number}: {entry!r} is no object in braces')
        try:
            found = ZooFile(**entry)
        except (TypeError, ValueError) as error:  # the first: of names, in Python's words
            said = str(error).removeprefix('ZooFile.__init__() ')
            raise UserError(f'{path}, entry {number} ({entry.get("file")}): {said}') from error
        if found.file in files:
            raise UserError(f'{path} lists {found.file} twice')
        files[found.file] = found
    return list(files.values())


def select(files: list[ZooFile], pattern: str | None) -> list[ZooFile]:
    """Return the files whose path, or name, a shell pattern fits; all without a pattern.

    Raises:
        UserError: it fits none.
    """
    if pattern is None:
        return files
    found = [f for f in files if fnmatch(f.file, pattern) or fnmatch(Path(f.file).name, pattern)]
    if not found:
        raise UserError(
            f'--only {pattern} fits none of the {len(files)} published files: '
            '`python tools/model_zoo.py list` names them'
        )
    return found


class Finding(NamedTuple):
    """What became of a file: ``fits``, ``unknown`` or ``WRONG``, and why or what is not known."""

    path: Path
    status: str
    detail: str


def inspect(
    files: list[ZooFile], root: Path, contents: Callable[[ZooFile, Path], str] | None = None
) -> list[Finding]:
    """Check size and hash of the files that are there, and tell how far that is.

    Args:
        files: to look for.
        root: the model folder.
        contents: looks into a file, such as `check_contents`; None to leave the contents.

    Returns:
        list: a finding for each file that is there; its status is ``unknown`` where no hash is
        known to compare with.
    """
    there = [(entry, root / entry.file) for entry in files if (root / entry.file).exists()]
    return [_inspect(*file, contents) for file in progress(there, 'reading', 'file')]


def _inspect(entry: ZooFile, path: Path, contents: Callable | None) -> Finding:
    try:
        size = path.stat().st_size
        if path.is_dir():
            return Finding(path, 'WRONG', 'is a folder, not a file')
        if entry.size not in (None, size):
            detail = f'{size:,} bytes instead of {entry.size:,}: get it again from {entry.link}'
            return Finding(path, 'WRONG', detail)
        found = file_hash(path)
        known = entry.sha256 or entry.sha256_prefix
        if known and not found.startswith(known):
            detail = f'sha256 {found}, must begin with {known}: get it again from {entry.link}'
            return Finding(path, 'WRONG', detail)
        details = [contents(entry, path)] if contents else []
    except UserError as error:
        return Finding(path, 'WRONG', str(error))
    except OSError as error:
        return Finding(path, 'WRONG', f'cannot be read: {error.strerror}')
    if not (entry.sha256 and entry.size):
        details.append(f'for model/zoo.json: "size": {size}, "sha256": "{found}"')
    return Finding(path, 'fits' if known else 'unknown', '; '.join(details))


def check_contents(entry: ZooFile, path: Path) -> str:
    """Open a file, running no code of it, and compare names and shapes with its config's model.

    The model is built without its values, so neither memory nor time for it is needed.

    Returns:
        str: how many tensors fit.

    Raises:
        UserError: the file cannot be read or does not fit, or the config does not read it.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    import mmseg_uvpt.register  # noqa: F401
    from mmseg_uvpt.augmentation.prerequisites import FILES
    from mmseg_uvpt.augmentation.style_networks import NETWORKS, fit_weights
    from mmseg_uvpt.checkpoints.fitting import fit
    from mmseg_uvpt.checkpoints.loading import fit_imagenet_weights, load_file, state_dict_of
    from mmseg_uvpt.checkpoints.shapes import shapes_only

    init_default_scope('mmseg')
    cfg = Config.fromfile(shipped(entry.config), import_custom_modules=False)
    if entry.stage == 'imagenet':
        with shapes_only():
            backbone = MODELS.build(cfg.model.backbone)
        tensors = fit_imagenet_weights(backbone, path)
    elif entry.stage == 'style':
        weights = cfg.model.data_preprocessor.get('weights') or {}
        part = next((p for p, file in weights.items() if file == f'model/{entry.file}'), None)
        if part is None:
            raise UserError(f'{entry.config} reads no file model/{entry.file} (weights)')
        with shapes_only():
            network = NETWORKS[next(name for name in FILES if part in FILES[name])]()
        tensors = fit_weights(network, part, str(path))
    else:
        with shapes_only():
            model = MODELS.build(cfg.model)
        tensors = fit(model, state_dict_of(load_file(path), path), 'the checkpoint')
    return f'{len(tensors)} tensors fit {entry.config}'


def text_table(files: list[ZooFile], root: Path) -> str:
    """Return a table for the console: which files are there, and what evaluates or reads them."""
    table = PrettyTable(['file', 'there', 'stage', 'mIoU (classes)', 'config'])
    table.align = 'l'
    for entry in files:
        there = 'yes' if (root / entry.file).is_file() else 'no'
        table.add_row([entry.file, there, entry.stage, entry.score_text, entry.config])
    chosen = 'adapted: the best of the evaluations of a training by target labels, as published'
    return f'{table.get_string()}\n{chosen}'


def to_json(files: list[ZooFile], root: Path) -> str:
    """Return the entries as JSON, each with its ``path`` and whether it is ``there``."""
    places = [(entry, root / entry.file) for entry in files]
    found = [{**asdict(e), 'path': str(path), 'there': path.is_file()} for e, path in places]
    return json.dumps(found, indent=2, ensure_ascii=False)


def to_markdown(files: list[ZooFile]) -> str:
    """Return a Markdown table a stage, links to the configs as seen from ``model/``."""
    blocks = []
    for stage, title in STAGES.items():
        entries = [entry for entry in files if entry.stage == stage]
        if entries:
            blocks.append(f'### {title}\n\n{markdown(_HEAD, [_row(entry) for entry in entries])}')
    return '\n'.join(blocks).rstrip('\n')


def _row(entry: ZooFile) -> tuple[str, ...]:
    digits = entry.sha256 or (entry.sha256_prefix and f'{entry.sha256_prefix}...')
    size = f'{entry.size / 1e6:,.1f} MB' if entry.size else 'unknown'
    return (
        f'`{entry.file}`',
        entry.what,
        entry.score_text,
        f'[`{Path(entry.config).name}`](../{entry.config})',
        f'{size}, `{digits}`' if digits else 'unknown' if not entry.size else f'{size}, unknown',
        f'[{"/".join(entry.link.split("/")[2:4])}]({entry.link})',
    )
