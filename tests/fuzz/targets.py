"""What the fuzzers feed, and what counts as a finding: anything but contents or a `UserError`.

The readers are those of `tests/robustness`: a fuzzer thinks of the bytes of one file, the files
beside it are good. `repair` mends the checksums of what the fuzzer changed, without which it would
never come past them.
"""

import contextlib
import io
import os
import pickle
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'robustness'))

import damages
import readers

from mmseg_uvpt.checkpoints.fitting import fit
from mmseg_uvpt.checkpoints.loading import state_dict_of
from mmseg_uvpt.checkpoints.names import is_adapted, names_in_source, to_ours, to_released
from mmseg_uvpt.errors import UserError

_LONGEST = 1 << 20  # bytes of a chunk that are looked at


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        run: takes the bytes; raises nothing unless it has a fault.
        seeds: good files and some bad ones to begin with.
        repair: mends what the fuzzer broke by accident.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    repair: Callable[[bytes], bytes] = bytes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what C libraries print of a damaged file: thousands of lines a second."""
    kept = os.dup(2)
    with open(os.devnull, 'w') as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@cache
def _folder(name: str, file: str) -> Path:
    """Return a folder, in memory where there is such, with a good file of a reader."""
    place = '/dev/shm' if os.path.isdir('/dev/shm') else None
    folder = Path(tempfile.mkdtemp(prefix='uvpt-fuzz-', dir=place))
    _reader(name, file).make(folder)
    return folder


@cache
def _good(name: str, file: str) -> bytes:
    """Return a good file; to be asked for before `_folder` is written to."""
    return (_folder(name, file) / _reader(name, file).file).read_bytes()


def _reader(name: str, file: str) -> readers.Reader:
    return next(r for r in readers.READERS if r.name == name and file in r.file)


def _of_reader(name: str, file: str = '', check: Callable[[object], bool] | None = None) -> Target:
    """Return the target of a reader.

    Args:
        name: of the reader.
        file: part of its file's name, where two are called alike.
        check: whether what it returns can be.
    """

    def run(data: bytes) -> None:
        _good(name, file)
        path = _folder(name, file) / _reader(name, file).file
        path.write_bytes(data)
        with contextlib.suppress(UserError), _quiet():
            value = _reader(name, file).read(path)
            if check is not None:
                assert check(value), f'it gives what cannot be: {value!r}'

    def seeds() -> Iterator[bytes]:
        reader = _reader(name, file)
        good = _good(name, file)
        yield good
        for damage in damages.DAMAGES:
            if reader.kind in damage.kinds:
                path = _folder(name, file) / reader.file
                path.write_bytes(good)
                damage.apply(path)
                if path.stat().st_size < 1 << 16:
                    yield path.read_bytes()

    return Target(run, seeds, repair_png if _reader(name, file).file.endswith('.png') else bytes)


def repair_png(data: bytes) -> bytes:
    """Put the right checksum behind each chunk of a PNG."""
    parts, position = [data[:8]], 8
    while position + 8 <= len(data):
        length = min(struct.unpack('>I', data[position : position + 4])[0], _LONGEST)
        body = data[position + 4 : position + 8 + length]
        parts += [struct.pack('>I', len(body) - 4), body, struct.pack('>I', zlib.crc32(body))]
        position += 12 + length
    return b''.join(parts)


def _values(allowed: range) -> Callable[[object], bool]:
    """Return whether a label is an array of these values, and of 255."""
    table = np.isin(np.arange(256), [*allowed, 255])
    return lambda label: label.dtype == np.uint8 and label.ndim == 2 and bool(table[label].all())


def _is_image(image: object) -> bool:
    return image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def _run_pickle(data: bytes) -> None:
    """Read a checkpoint whose pickle is ``data``, in torch's own archive, and translate it."""
    whole = io.BytesIO()
    torch.save({'state_dict': {'a': torch.zeros(4)}}, whole)
    packed = io.BytesIO()
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(packed, 'w') as new:
        for part in old.infolist():
            is_pickle = part.filename.endswith('data.pkl')
            new.writestr(part, data if is_pickle else old.read(part))
    CHECKPOINT.run(packed.getvalue())


def _pickles() -> Iterator[bytes]:
    tensors = [torch.zeros(2, 2), torch.zeros(3).long(), torch.zeros(2, 2).to('meta')]
    for value in (*tensors, np.arange(3.0), np.float64(2), np.array(['a', None]), 'a', [None], 5):
        for contents in ({'state_dict': {'a': value}}, {'model': {'a.b': value}}, {3: value}):
            whole = io.BytesIO()
            torch.save(contents, whole)
            with zipfile.ZipFile(whole) as archive:
                names = archive.namelist()
                yield archive.read(next(n for n in names if n.endswith('data.pkl')))
    yield pickle.dumps(damages.RunsCode(Path('never')), 2)


# parts of names that the translation looks for
_PARTS = (
    *('module.', 'backbone.', 'staged.', 'spm.', 'fc1.', 'interactions.', 'adapters.', '0.', '11.'),
    *('extractor.', 'injector.', 'ffn.dwconv.dwconv.', 'up_layer1.', 'carry.0.', 'generator.'),
    *('.sampling_offsets.', '.attention_weights.', '.sampling.', 'weight', 'bias', 'level_embed'),
    *('decode_head.', 'decode_head_aug0.', 'conv_seg.', 'auxiliary_head.', 'stages.0.blocks.0.'),
    *('num_batches_tracked', 'scale_weights', 'head.', 'norm0.', 'model.', ''),
)
_SHAPES = ((), (0,), (1,), (2,), (4,), (6, 2), (3, 2), (12, 2), (0, 3), (19, 16, 1, 1), (5, 5, 5))
_KINDS = (torch.float32, torch.float16, torch.int64, torch.bool, torch.complex64)


def _run_translation(data: bytes) -> None:
    """Fit a state dict to models; two bytes a tensor choose its name, one its shape and type."""
    state = {}
    for i in range(0, len(data) - 4, 5):
        name = ''.join(_PARTS[byte % len(_PARTS)] for byte in data[i : i + 4])
        shape = _SHAPES[data[i + 4] % len(_SHAPES)]
        state[name] = torch.zeros(shape, dtype=_KINDS[data[i + 4] // 16 % len(_KINDS)])
    _translate({'state_dict': state})


def _translate(checkpoint: dict) -> None:
    with contextlib.suppress(UserError):
        state = state_dict_of(checkpoint)
        for prompted in (False, True):
            for held in ((), tuple(state)):
                ours = to_ours(dict(state), prompted, held)
                to_released(ours)
                is_adapted(ours)
        names_in_source(state)
        for kind in ('source', 'uni-uvpt'):
            with contextlib.suppress(UserError):
                fit(readers.model(kind), state, 'the file')


def _run_checkpoint(data: bytes) -> None:
    for suffix in ('pth', 'safetensors'):
        path = _folder('checkpoint', suffix) / f'model.{suffix}'
        path.write_bytes(data)
        with contextlib.suppress(UserError), _quiet():
            _translate(readers.load_file(path))


def _checkpoints() -> Iterator[bytes]:
    from safetensors.torch import save

    state = {'backbone.a.weight': torch.zeros(2, 2), 'decode_head.b': torch.zeros(3)}
    for zipped in (True, False):
        whole = io.BytesIO()
        contents = {'state_dict': state, 'meta': {'CLASSES': ['a']}}
        torch.save(contents, whole, _use_new_zipfile_serialization=zipped)
        yield whole.getvalue()
    yield save(state, {'uni_uvpt': '{"names": ["decode_head.b", "backbone.a.weight"], "meta": {}}'})


CHECKPOINT = Target(_run_checkpoint, _checkpoints)

TARGETS = {
    'image': _of_reader('image', check=_is_image),
    'photograph': _of_reader('photograph', check=_is_image),
    'gta': _of_reader('GTA label', check=_values(range(35))),
    'synthia': _of_reader('SYNTHIA label', check=_values(range(23))),
    'cityscapes': _of_reader('Cityscapes labelIds', check=_values(range(34))),
    'polygons': _of_reader('Cityscapes polygons', check=_values(range(34))),
    'train_ids': _of_reader('train id label', check=_values(range(19))),
    'pseudo_label': _of_reader('pseudo label, in training', check=_values(range(19))),
    'checkpoint': CHECKPOINT,
    'checkpoint_pickle': Target(_run_pickle, _pickles),
    'translation': Target(_run_translation, lambda: iter([bytes(range(50)), bytes(20)])),
    'results': _of_reader('score.json in the table of results'),
    'zoo': _of_reader('model/zoo.json'),
    'bank': _of_reader('label bank, meta.json'),
    'journal': _of_reader('confidences of pseudo labels'),
    'correction': _of_reader('label_correction.csv'),
}
