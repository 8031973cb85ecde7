"""Where the files lie that come with the package and are no code."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
CHECKOUT = _PACKAGE.parent  # the repository, where this is no installed wheel


def shipped(name: str) -> Path:
    """Return where a file or folder of the repository lies, such as ``configs``.

    A wheel carries ``configs`` and ``model/zoo.json`` within the package (``setup.py``).
    """
    within = _PACKAGE / '_data'
    return (within if within.is_dir() else CHECKOUT) / name
