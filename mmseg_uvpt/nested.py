"""Values within values, as configs and checkpoints hold them; what lies where is unchecked."""

from collections.abc import Iterator, Mapping


def everything_in(node: object) -> Iterator[object]:
    """Yield a value and all that is in it, in order, through dicts, lists and tuples."""
    yield node
    nested = list(node.values()) if isinstance(node, Mapping) else node
    for each in nested if isinstance(nested, list | tuple) else ():
        yield from everything_in(each)


def dict_or_empty(value: object) -> dict:
    """Return what should be a dict; an empty one in the place of anything else."""
    return value if isinstance(value, Mapping) else {}


def parts_of_type(node: object, name: str) -> list[dict]:
    """Return every dict below ``node`` whose ``type`` is ``name``."""
    dicts = (part for part in everything_in(node) if isinstance(part, dict))
    return [part for part in dicts if part.get('type') == name]
