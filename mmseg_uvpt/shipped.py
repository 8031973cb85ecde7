"""Where the files lie that come with the package and are no code."""

from collections.abc import Callable, Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_WITHIN = _PACKAGE / '_data'
INSTALLED = _WITHIN.is_dir()  # from a wheel, without the files of a checkout
CHECKOUT = _PACKAGE.parent  # the repository, where this is no installed wheel


def shipped(name: str) -> Path:
    """Return where a file or folder of the repository lies, such as ``configs``.

    A wheel carries ``configs``, pages and ``model/zoo.json`` within the package (``setup.py``).
    """
    return (_WITHIN if INSTALLED else CHECKOUT) / name


def find_config(name: str | Path) -> Path:
    """Return the config file of a name: as a path, or else of a shipped one.

    ``configs/`` and ``.py`` may be left away: ``uni_uvpt/sss_swin-b_gta5-to-cityscapes``. Where
    there is none, the name is returned as it is.
    """
    return _found(name, ('', '.py'), Path.is_file)


def find_configs(name: str | Path) -> Path:
    """Return the folder of configs of a name, as `find_config` does for a file."""
    return _found(name, ('',), Path.is_dir)


def _found(name: str | Path, suffixes: Sequence[str], is_one: Callable[[Path], bool]) -> Path:
    path = Path(name)
    if path.exists() or path.is_absolute():
        return path
    inside = path if path.parts[:1] == ('configs',) else 'configs' / path
    places = [shipped(f'{inside}{suffix}') for suffix in suffixes]
    return next(filter(is_one, places), path)
