"""Where the data sets of a config lie: what ``--data-root`` may name, and what it moves."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmseg_uvpt.engine.config.uvpt import uvpt_config

DATA = 'data'  # what stands for the data root in config files
CITYSCAPES = 'cityscapes'
_MOVED = ('data_root', 'pseudo_label_dir', 'style_dir', 'truth_dir')


class DataRoot(NamedTuple):
    """Where data sets lie.

    Attributes:
        cityscapes: folder of Cityscapes, which may have any name.
        whole: folder of all data sets: ``gta``, ``synthia``, ``style`` and, mostly, ``cityscapes``.
    """

    cityscapes: str
    whole: str

    @classmethod
    def of_all(cls, path: str) -> 'DataRoot':
        """Return the root where all data sets lie in one folder."""
        return cls(str(Path(path, CITYSCAPES)), path)

    @classmethod
    def at(cls, path: str) -> 'DataRoot':
        """Return the root that ``path`` names.

        It is the folder of all data sets, or that of Cityscapes itself, beside which the others lie
        then. The latter is known by its content: it holds ``leftImg8bit`` and no ``cityscapes``.
        """
        if not is_cityscapes(path):
            return cls.of_all(path)
        folder = Path(path)
        if folder.name in ('', '..'):
            folder = folder.resolve()
        beside = folder.parent if folder.parent.name else folder.absolute().parent
        return cls(str(folder), str(beside))


def is_cityscapes(path: str) -> bool:
    """Tell whether a folder is that of Cityscapes itself, by its content."""
    return Path(path, 'leftImg8bit').is_dir() and not Path(path, CITYSCAPES).is_dir()


def absolute(path: str) -> str:
    """Return a data root from anywhere, links resolved; what lies beside a link stays beside it."""
    return os.path.abspath(path) if is_cityscapes(path) else os.path.realpath(path)


def stated(cfg: Config) -> DataRoot:
    """Return where a config says that its data sets lie."""
    said = uvpt_config(cfg)
    root = DataRoot.of_all(said.data_root)
    return root._replace(cityscapes=said.cityscapes_root) if said.cityscapes_root else root


def move(cfg: Config, before: DataRoot, asked: str) -> None:
    """Put the data sets of a config below another root, in place.

    ``uvpt.data_root`` records the folder of all of them and, where Cityscapes has another name or
    place there, ``uvpt.cityscapes_root`` that one, so that a recorded config can be moved again.

    Args:
        cfg: every ``data_root`` and folder of labels or style images in it that begins with the
            stated root, or with ``data``, is changed.
        before: root that the config file states.
        asked: root as `DataRoot.at` takes it.
    """
    recorded = asked == before.whole and before != DataRoot.of_all(asked)
    chosen = before if recorded else DataRoot.at(asked)
    stays = asked == before.whole and asked != DATA
    moves = _moves(before, before if stays else chosen, asked)
    moves += _moves(DataRoot.of_all(DATA), chosen, asked)
    # deeper ones first, and the stated root: in a resolved config it may itself begin with 'data'
    moves.sort(key=lambda move: -len(Path(move[0]).parts))
    _move(cfg._cfg_dict, moves)
    named = None if chosen == DataRoot.of_all(chosen.whole) else chosen.cityscapes
    cfg.merge_from_dict({'uvpt.data_root': chosen.whole, 'uvpt.cityscapes_root': named})


def _moves(old: DataRoot, new: DataRoot, asked: str) -> list[tuple[str, str, str]]:
    """Return folders, where what is below each goes, and where the folder itself does."""
    return [
        (os.path.normpath(old.cityscapes), new.cityscapes, new.cityscapes),
        (os.path.normpath(old.whole), new.whole, asked),
    ]


def _move(node: object, moves: Sequence[tuple[str, str, str]]) -> None:
    entries = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in list(entries):
        if isinstance(value, dict | list | tuple):
            _move(value, moves)
        elif key in _MOVED and isinstance(value, str):
            node[key] = _moved(value, moves)


def _moved(path: str, moves: Sequence[tuple[str, str, str]]) -> str:
    there = Path(os.path.normpath(path))  # as paths: data/x, ./data/x/ and data/a/../x are one
    for old, new, itself in moves:
        below = os.path.relpath(there, old) if there.is_relative_to(old) else None
        if below == '.':
            return path if _same(old, itself) else itself
        if below:
            return path if _same(old, new) else str(Path(new) / below)
    return path


def _same(one: str, other: str) -> bool:
    return os.path.normpath(one) == os.path.normpath(other)
