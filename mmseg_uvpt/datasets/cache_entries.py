"""The files of the image cache: a few uint8 arrays, and what they were made of.

A file is a head of 32 bytes, a text of Python literals, and the arrays, each beginning at a
multiple of 64 bytes. It is mapped into memory instead of being read: all processes of a machine
share the one copy in the system's page cache, and of a crop only the crop is copied.
"""

import ast
import math
import mmap
import struct
import zlib
from pathlib import Path

import numpy as np

from mmseg_uvpt.files import open_regular, write_whole

_HEAD = struct.Struct('<8sQQQ')  # mark, bytes and CRC-32 of the text, checksum of the arrays
_MARK = b'UVPTimg1'
_ALIGNMENT = 64  # the checksum needs a multiple of 8


def write_entry(path: str | Path, made_of: tuple, values: dict) -> None:
    """Write a file, whole.

    Args:
        path: of the file.
        made_of: Python literals that say what the values were made of, and how.
        values: uint8 arrays and Python literals, by name.

    Raises:
        UserError: it cannot be written (no space left, no permission, ...).
    """
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    others = {name: value for name, value in values.items() if name not in arrays}
    shapes = {name: array.shape for name, array in arrays.items()}
    text = ascii((made_of, shapes, others)).encode()
    body = b''.join(_padded(array.tobytes()) for array in arrays.values())
    head = _HEAD.pack(_MARK, len(text), zlib.crc32(text), _sum(body))
    with write_whole(path) as file:
        file.write(_padded(head + text))
        file.write(body)


def read_entry(path: str | Path, made_of: tuple) -> dict | None:
    """Return the values that `write_entry` wrote.

    Args:
        path: of the file.
        made_of: what they must have been made of.

    Returns:
        dict: values by name. Arrays can be written to, which changes nothing in the file. None if
            there is no such file, it is damaged, or its values were made of something else.
    """
    try:
        with open_regular(path) as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        mark, length, checksum, total = _HEAD.unpack_from(mapped)
        text = mapped[_HEAD.size : _HEAD.size + length]
        if (mark, checksum) != (_MARK, zlib.crc32(text)):
            return None
        found, shapes, values = ast.literal_eval(text.decode())
    except (OSError, ValueError, SyntaxError, struct.error):  # mmap's of an empty file: ValueError
        return None
    start = _up(_HEAD.size + length)
    sizes = [math.prod(shape) for shape in shapes.values()]
    # the length first: of a file that claims a terabyte no sum is taken
    if found != made_of or len(mapped) != start + sum(map(_up, sizes)):
        return None
    if _sum(memoryview(mapped)[start:]) != total:
        return None
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        values[name] = np.frombuffer(mapped, np.uint8, size, start).reshape(shape)
        start += _up(size)
    return values


def _up(size: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _padded(data: bytes) -> bytes:
    return data.ljust(_up(len(data)), b'\0')


def _sum(data: bytes | memoryview) -> int:
    """Return the sum of the 64-bit numbers in ``data``, modulo 2**64.

    It notices flipped bits and missing blocks in a twentieth of the time that a CRC takes, which
    would be a large part of what an image from the cache costs.
    """
    return int(np.frombuffer(data, np.uint64).sum())
