"""Classes that a config names: any up to 254, for label files that hold their ids as they are."""

import os
from collections.abc import Mapping, Sequence

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_bytes, why_unreadable

MOST = 254  # ids 0..253: a label has 8 bits, and 255 is for pixels that do not count


class NamedClasses:
    """Mixin in front of mmseg's `BaseSegDataset`: ``metainfo`` may name any classes.

    mmseg takes such a list for a choice among the data set's own classes and maps labels to it.
    Here labels hold the ids of the classes that are named, from 0 on, and are never mapped: a list
    that differs in its order alone is refused, since it can only mean a mapping.

    Attributes:
        never_labelled: names of classes that are known to occur in none of its labels.

    Raises:
        UserError: the classes or colours cannot be used, or labels were to be mapped.
    """

    never_labelled: tuple[str, ...] = ()

    def __init__(self, *args, reduce_zero_label: bool = False, **kwargs) -> None:
        if reduce_zero_label:
            raise UserError(not_mapped(f'{type(self).__name__}: reduce_zero_label=True'))
        super().__init__(*args, **kwargs)

    @classmethod
    def _load_metainfo(cls, metainfo: Mapping | None = None) -> dict:
        if isinstance((metainfo or {}).get('classes'), str):
            metainfo = {**metainfo, 'classes': _names_in(metainfo['classes'])}
        found = super()._load_metainfo(metainfo)
        own = list(cls.METAINFO.get('classes', ()))
        check_names(found.get('classes', own), f'{cls.__name__}: metainfo.classes')
        found['classes'] = tuple(found.get('classes', own))
        given = (metainfo or {}).get('palette')
        if not found.get('palette') or (list(found['classes']) != own and not given):
            found['palette'] = colours(len(found['classes']))
        _check_palette(found, f'{cls.__name__}: metainfo.palette')
        return found

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> None:
        """Return None: nothing is mapped; refuse what can only mean a mapping."""
        own, new = list(cls.METAINFO.get('classes', ())), list(new_classes or ())
        if new != own and sorted(new) == sorted(own):
            first = next(i for i, name in enumerate(new) if name != own[i])
            raise UserError(
                not_mapped(
                    f'{cls.__name__}: metainfo.classes has its own classes in another order, id '
                    f'{first} is {new[first]!r} instead of {own[first]!r}'
                )
            )


def not_mapped(what: str) -> str:
    """Return the error for a setting that would give labels other ids than their files have."""
    return (
        f'{what}: the ids of labels are not mapped here. Write label files that hold 0 for the '
        'first class and so on, and 255 for pixels that do not count (docs/extending.md)'
    )


def _names_in(path: str) -> list[str]:
    """Return the names of a file, one a line."""
    if reason := why_unreadable(path):
        raise UserError(f'metainfo.classes names the file {os.path.abspath(path)}, which {reason}')
    try:
        lines = read_bytes(path).decode('utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f'{path} of metainfo.classes is no UTF-8 text: {error}') from error
    return [name for line in lines if (name := line.strip())]


def check_names(classes: object, where: str) -> None:
    """Raise a `UserError` unless ``classes`` is a list of names that labels of 8 bits can have."""
    names = list(classes) if isinstance(classes, list | tuple) else []
    wrong = [name for name in names if not isinstance(name, str) or not name.strip()]
    if not names or wrong:
        raise UserError(f'{where} is {classes!r:.200}: it must be a list of names')
    if len(names) == 1:
        raise UserError(f'{where} names {names[0]!r} alone: name what is not of it too')
    if len(names) > MOST:
        raise UserError(f'{where} has {len(names)} names: a label can tell {MOST} classes apart')
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise UserError(f'{where} names {twice[0]!r} twice')


def _check_palette(metainfo: Mapping, where: str) -> None:
    palette, number = metainfo['palette'], len(metainfo['classes'])
    if not isinstance(palette, list | tuple) or not all(map(_is_colour, palette)):
        raise UserError(f'{where} must be a list of colours [red, green, blue], each of 0..255')
    if len(palette) != number:
        raise UserError(
            f'{where} has {len(palette)} colours for {number} classes: give one a class, or none'
        )


def _is_colour(value: object) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 3
        and all(isinstance(part, int) and 0 <= part <= 255 for part in value)
    )


def colours(number: int) -> list[list[int]]:
    """Return colours that tell up to 256 classes apart: those of Pascal VOC, [red, green, blue].

    Each colour channel takes every third bit of the class's number, the lowest one as its highest.
    """
    return [
        [
            sum((i >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
            for channel in (0, 1, 2)
        ]
        for i in range(number)
    ]
