"""Small labels in the raw encodings, written without the project's own code."""

import struct
import zlib
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels
from PIL import Image

GTA_PALETTE = [c for label in labels if 0 <= label.id < 34 for c in label.color] + [0, 0, 142]


def write_gta(path: Path, ids: np.ndarray, palette: list[int] = GTA_PALETTE) -> None:
    """Write a palette PNG whose indices are the ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids.astype(np.uint8)).convert('L')
    image.putpalette(palette)  # turns mode L into P, values as they are
    image.save(path)


def write_grey(path: Path, ids: np.ndarray) -> None:
    """Write an 8-bit grey PNG, as Cityscapes has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids.astype(np.uint8)).save(path)


def write_rgb(path: Path, pixels: np.ndarray) -> None:
    """Write an 8-bit colour PNG."""
    write_grey(path, pixels)


def write_synthia(path: Path, ids: np.ndarray, instances: np.ndarray | None = None) -> None:
    """Write a 16-bit three-channel PNG, class first and instance second, byte by byte."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = ids.shape
    pixels = np.zeros((height, width, 3), '>u2')
    pixels[..., 0] = ids
    pixels[..., 1] = 0 if instances is None else instances
    rows = b''.join(b'\0' + row.tobytes() for row in pixels)  # filter 0: none

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    header = struct.pack('>IIBBBBB', width, height, 16, 2, 0, 0, 0)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(rows))
        + chunk(b'IEND', b'')
    )


def classes_of_synthia(path: Path) -> np.ndarray:
    """Decode the class channel of a SYNTHIA label by hand: chunks, zlib, PNG's row filters.

    Filters work on bytes at the same place of neighbouring pixels, so the low byte of the first
    channel can be decoded without the others. Filter 3 (average) does not occur in the sample.
    """
    data, position, packed = path.read_bytes(), 8, b''
    while position < len(data):
        length, name = struct.unpack('>I4s', data[position : position + 8])
        body = data[position + 8 : position + 8 + length]
        if name == b'IHDR':
            width, height, depth, colour = struct.unpack('>IIBB', body[:10])
            assert (depth, colour) == (16, 2)
        elif name == b'IDAT':
            packed += body
        position += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 6 * width)
    label = np.zeros((height + 1, width + 1), int)  # a row above and a column left, both zero
    for y, row in enumerate(rows):
        kind, lane, above = row[0], row[2::6].astype(int), label[y]
        if kind == 0:
            label[y + 1, 1:] = lane
        elif kind == 1:
            label[y + 1, 1:] = np.cumsum(lane) % 256
        elif kind == 2:
            label[y + 1, 1:] = (lane + above[1:]) % 256
        else:
            assert kind == 4
            label[y + 1] = _paeth(lane.tolist(), above.tolist())
    return label[1:, 1:]


def _paeth(lane: list[int], above: list[int]) -> list[int]:
    row = [0]
    for x, value in enumerate(lane, start=1):
        left, up, corner = row[-1], above[x], above[x - 1]
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda c: abs(guess - c))
        row.append((value + nearest) % 256)
    return row
