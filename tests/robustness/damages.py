"""Every way in which a file can be wrong, as a function that does it to a good one."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

SPACE = 60_000  # pixels a side: 3.6 gigapixels in a file of some hundred bytes
JSON_VALUES = (None, True, -1, 1e300, 10**30, 'x', '', [], {}, [[1]], {'a': 1}, ['a', 2, None])
RAW_VALUES = ('NaN', '1e999', '"\\ud800"')  # texts that Python's reader takes, and JSON does not


@dataclass(frozen=True)
class Damage:
    """A way to be wrong.

    Attributes:
        group: column of the table in docs/robustness.md.
        name: for people, unique within a reader.
        apply: does it to the file at a path.
        reads: whether the file may serve all the same, as something else than it was.
        kinds: kinds of readers that it is for; all if empty.
    """

    group: str
    name: str
    apply: Callable[[Path], object]
    reads: bool = False
    kinds: tuple[str, ...] = ()


class RunsCode:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def marker_of(path: Path) -> Path:
    """Return the folder that appears if code of a file was run."""
    return path.with_name('code-was-run')


def _write(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _cut(part: float) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: min(max(1, int(part * len(data))), len(data) - 1)])

    return apply


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(target: str) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        path.unlink()
        path.symlink_to(target.format(path.name))

    return apply


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _pickled(protocol: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(RunsCode(marker_of(path)), protocol))


def _saved(zipped: bool) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        contents = {'state_dict': {'a': torch.zeros(1)}, 'meta': RunsCode(marker_of(path))}
        torch.save(contents, path, _use_new_zipfile_serialization=zipped)

    return apply


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    checksum = zlib.crc32(name + data)
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', checksum)


def png(size: tuple[int, int], bits: int, colour: int, rows: bytes, more: bytes = b'') -> bytes:
    """Return a PNG byte by byte: ``rows`` is what is compressed, ``more`` are further chunks."""
    height, width = size
    header = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)
    body = chunk(b'IHDR', header) + more + chunk(b'IDAT', zlib.compress(rows))
    return b'\x89PNG\r\n\x1a\n' + body + chunk(b'IEND', b'')


def _claim_space(path: Path) -> None:
    """Change the size in a PNG's header."""
    data = path.read_bytes()
    header = struct.pack('>II', SPACE, SPACE) + data[24:29]
    path.write_bytes(data[:8] + chunk(b'IHDR', header) + data[33:])


def _claim_space_jpeg(path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = data.index(b'\xff\xc0') + 5
    data[place : place + 4] = struct.pack('>HH', SPACE, SPACE)
    path.write_bytes(data)


def _re_encoded(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    """Read a picture's pixels, change them, and write them in the same format."""

    def apply(path: Path) -> None:
        pixels = change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())

    return apply


def _few_bits(bits: int) -> Callable[[Path], object]:
    """Write the size of the file with fewer bits: value 1 everywhere, which decoders spread."""

    def apply(path: Path) -> None:
        with Image.open(path) as image:
            width, height = image.size
        row = int('1'.zfill(bits) * (8 // bits), 2).to_bytes(1, 'big') * (width * bits // 8)
        path.write_bytes(png((height, width), bits, 0, (b'\0' + row) * height))

    return apply


def _re_compressed(change: Callable[[bytes, int], bytes]) -> Callable[[Path], object]:
    """Change a row of zeros, times a height, before it is compressed; all checksums are right."""

    def apply(path: Path) -> None:
        with Image.open(path) as image:
            width, height = image.size
        bits, colour = path.read_bytes()[24:26]
        row = b'\0' + bytes(width * (3 if colour == 2 else 1) * bits // 8)
        palette = chunk(b'PLTE', bytes(768)) if colour == 3 else b''
        path.write_bytes(png((height, width), bits, colour, change(row, height), palette))

    return apply


def _second_header(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:33] + data[8:33] + data[33:])


def _as_jpeg(path: Path) -> None:
    Image.new('RGB', (16, 8)).save(path, 'JPEG')


def _as_png(path: Path) -> None:
    Image.new('RGB', (16, 8)).save(path, 'PNG')


def _turned(path: Path) -> None:
    """Add a camera's note to turn the image."""
    data = path.read_bytes()
    note = b'MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    path.write_bytes(data[:33] + chunk(b'eXIf', note) + data[33:])


def _animated(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b'acTL', struct.pack('>II', 2, 0)) + data[33:])


@cache
def _inflating() -> bytes:
    """Return an archive of 64 MB in 64 kB."""
    whole, packed = io.BytesIO(), io.BytesIO()
    torch.save({'state_dict': {'a': torch.zeros(1 << 24)}}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as new:
        for part in old.infolist():
            new.writestr(part.filename, old.read(part))
    return packed.getvalue()


def _tensors(change: Callable[[dict], object]) -> Callable[[Path], object]:
    """Change the tensors of a checkpoint."""

    def apply(path: Path) -> None:
        if path.suffix == '.safetensors':
            from safetensors.torch import load_file, save_file

            tensors = load_file(path)
            change(tensors)
            save_file(tensors, path)
            return
        contents = torch.load(path, weights_only=True)
        tensors = contents.get('state_dict', contents.get('model', contents))
        change(tensors)
        torch.save(contents, path)

    return apply


def _first(tensors: dict) -> str:
    """Return the name of the first tensor that is a matrix or more."""
    return next(name for name, tensor in tensors.items() if tensor.ndim > 1 and tensor.numel() > 1)


def _set(make: Callable[[torch.Tensor], object]) -> Callable[[dict], object]:
    def change(tensors: dict) -> None:
        name = _first(tensors)
        tensors[name] = make(tensors[name])

    return change


KINDS = (
    *('image', 'photo', 'label', 'palette', '16 bits', 'json', 'lines', 'text', 'record', 'raw'),
    *('torch', 'safetensors'),
)
IMAGES = ('image', 'label', 'palette', '16 bits')
CHECKPOINTS = ('torch', 'safetensors')
TEXTS = ('text', 'record')  # programs; the second is read as the first, which shows no more

DAMAGES = (
    Damage('missing', 'missing', Path.unlink),
    Damage('empty', 'empty', _write(b'')),
    Damage('truncated', 'cut after a byte', _cut(0)),
    Damage('truncated', 'cut at a tenth', _cut(0.1)),
    Damage('truncated', 'cut in the middle', _cut(0.5)),
    Damage('truncated', 'cut at nine tenths', _cut(0.9)),
    Damage('truncated', 'last byte cut', _cut(1)),
    Damage('wrong type', 'a text', _write(b'not at all what it should be\n')),
    Damage('wrong type', 'noise', _write(np.random.default_rng(0).bytes(500))),
    Damage('wrong type', 'a JPEG', _as_jpeg, kinds=tuple(k for k in KINDS if k != 'photo')),
    Damage('wrong type', 'a PNG', _as_png, kinds=('json', *TEXTS, 'lines', 'raw', *CHECKPOINTS)),
    Damage('wrong type', 'a JSON list', _write(b'[1, 2]')),
    Damage('wrong type', 'a JSON number', _write(b'3')),
    Damage('denied', 'permission denied', lambda path: path.chmod(0)),
    Damage('folder', 'a folder', _folder),
    Damage('link, pipe', 'a dangling link', _link('nothing')),
    Damage('link, pipe', 'a link to itself', _link('{}')),
    Damage('link, pipe', 'a pipe', _pipe),
    Damage('code', 'a pickle, protocol 2', _pickled(2)),
    Damage('code', 'a pickle, protocol 4', _pickled(4)),
    Damage('code', 'a checkpoint with an object', _saved(True)),
    Damage('code', 'an old checkpoint with an object', _saved(False)),
    # images and labels
    Damage('truncated', 'pixels cut, checksums right',
           _re_compressed(lambda row, height: row * 2 + row[:3]), kinds=IMAGES),
    Damage('truncated', 'rows cut, checksums right',
           _re_compressed(lambda row, height: row * (height // 2)), kinds=IMAGES),
    Damage('wrong type', 'two headers', _second_header, kinds=IMAGES),
    Damage('wrong type', 'an animation', _animated, kinds=IMAGES),
    Damage('bomb', '60,000 x 60,000 pixels', _claim_space, kinds=IMAGES),
    Damage('bomb', '60,000 x 60,000 pixels', _claim_space_jpeg, kinds=('photo',)),
    Damage('size', 'twice as wide', _re_encoded(lambda a: a.repeat(2, 1)), True, IMAGES),
    Damage('channels', 'four channels',
           _re_encoded(lambda a: np.dstack([a.reshape(*a.shape[:2], -1)[..., 0]] * 4)),
           kinds=IMAGES),
    Damage('channels', 'three channels',
           _re_encoded(lambda a: np.dstack([a.reshape(*a.shape[:2], -1)[..., 0]] * 3)),
           kinds=('label', 'palette')),
    Damage('channels', 'one channel',
           _re_encoded(lambda a: a[..., 0]), kinds=('image', 'palette', '16 bits')),
    Damage('depth', '1 bit', _few_bits(1), kinds=IMAGES),
    Damage('depth', '2 bits', _few_bits(2), kinds=IMAGES),
    Damage('depth', '4 bits', _few_bits(4), kinds=IMAGES),
    Damage('depth', '16 bits', _re_encoded(lambda a: a.astype(np.uint16) * 257),
           kinds=('image', 'label', 'palette')),
    Damage('depth', '8 bits', _re_encoded(lambda a: a.astype(np.uint8)), kinds=('16 bits',)),
    Damage('values', 'other values', _re_encoded(lambda a: a * 0 + 200), True,
           ('label', '16 bits')),
    Damage('values', 'a note to turn it', _turned, kinds=IMAGES),
    # checkpoints
    Damage('bomb', 'parts larger than the file', lambda path: path.write_bytes(_inflating()),
           kinds=('torch',)),
    Damage('bomb', 'a head of a terabyte', _write(struct.pack('<Q', 1 << 40) + b'{}'),
           kinds=('safetensors',)),
    Damage('size', 'a tensor twice as large',
           _tensors(_set(lambda t: torch.cat([t, t]))), kinds=CHECKPOINTS),
    Damage('size', 'a tensor without elements',
           _tensors(_set(lambda t: t[:0])), kinds=CHECKPOINTS),
    Damage('size', 'a tensor missing', _tensors(lambda d: d.pop(_first(d))), kinds=CHECKPOINTS),
    Damage('values', 'whole numbers',
           _tensors(_set(lambda t: t.long())), kinds=CHECKPOINTS),
    Damage('values', 'a sparse tensor', _tensors(_set(lambda t: t.to_sparse())), kinds=('torch',)),
    Damage('values', 'a tensor without values', _tensors(_set(lambda t: t.to('meta'))),
           kinds=('torch',)),
    Damage('values', 'a text in place of a tensor',
           _tensors(_set(lambda t: 'text')), kinds=('torch',)),
    Damage('values', 'a name that is a number',
           _tensors(lambda d: d.update({5: torch.zeros(2, 2)})), kinds=('torch',)),
    Damage('values', 'no tensor at all', _tensors(dict.clear), kinds=CHECKPOINTS),
    # the label bank
    Damage('size', 'a byte more', lambda path: path.write_bytes(path.read_bytes() + b'\0'),
           kinds=('raw',)),
    Damage('values', 'impossible values',
           lambda path: path.write_bytes(b'\xee' * path.stat().st_size), kinds=('raw',)),
    Damage('bomb', 'a terabyte of nothing', lambda path: os.truncate(path, 1 << 40),
           kinds=('raw',)),
    # texts
    Damage('bomb', 'nested 100,000 deep', _write(b'[' * 100_000),
           kinds=('json', 'lines', *TEXTS)),
    Damage('bomb', 'a line of 10 MB', _write(b'9' * 10_000_000), kinds=('json', 'lines', *TEXTS)),
    Damage('values', 'ends the process', _write(b'import sys\nsys.exit(0)\n'), kinds=TEXTS),
    Damage('values', 'raises', _write(b'raise KeyError\n'), kinds=TEXTS),
    Damage('values', 'includes itself', _write(b"_base_ = ['config.py']\n"), kinds=('text',)),
)  # fmt: skip


def of_json(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, text) of a JSON file with one value after the other replaced by others."""
    whole = json.loads(text)
    for place in _places(whole):
        for value in JSON_VALUES:
            yield _named(place, repr(value)), json.dumps(_put(whole, place, value)).encode()
        for raw in RAW_VALUES:
            mark = '"here it goes"'
            changed = json.dumps(_put(whole, place, 'here it goes')).replace(mark, raw)
            yield _named(place, raw), changed.encode()


def _named(place: tuple, value: str) -> str:
    return f'{".".join(map(str, place))} is {value}'


def _places(node: object, place: tuple = ()) -> Iterator[tuple]:
    """Yield the keys that lead to each value; of a list the first entry stands for all."""
    entries = node.items() if isinstance(node, dict) else ()
    if isinstance(node, list):
        entries = list(enumerate(node))[:1]
    for key, value in entries:
        yield (*place, key)
        yield from _places(value, (*place, key))


def _put(node: object, place: tuple, value: object) -> object:
    if not place:
        return value
    if isinstance(node, dict):
        return {k: _put(v, place[1:], value) if k == place[0] else v for k, v in node.items()}
    return [_put(v, place[1:], value) if k == place[0] else v for k, v in enumerate(node)]
