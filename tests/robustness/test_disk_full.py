"""Where space runs out, earlier files stay whole, the error names the file, and work goes on."""

import contextlib
import errno
import json
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from writers import WRITERS

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_json

BALLAST = 'ballast'


@contextlib.contextmanager
def _small_file_system(folder: Path) -> Iterator[Path]:
    """Mount 8 MB of memory on a folder."""
    place = folder / 'small'
    place.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f'no mount here: {error}')
    if done.returncode:
        pytest.skip(f'a file system cannot be mounted here: {done.stderr.strip()}')
    try:
        yield place
    finally:
        subprocess.run(['umount', '--lazy', str(place)], check=True)


@contextlib.contextmanager
def _no_space(place: Path) -> Iterator[None]:
    """Fill a file system to its last byte."""
    ballast = place / BALLAST
    with ballast.open('wb', buffering=0) as file, contextlib.suppress(OSError):
        for block in (1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(block))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def _short_files() -> Iterator[None]:
    """Let no file grow past 64 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _contents(place: Path) -> dict[str, bytes]:
    files = (path for path in place.rglob('*') if path.is_file() and path.name != BALLAST)
    return {str(path.relative_to(place)): path.read_bytes() for path in files}


def _runs_out(writer, place: Path, limit) -> None:
    writer.write(place, 1)
    before = _contents(place)
    assert before
    with pytest.raises(UserError) as error, limit:
        writer.write(place, 2)
    message = str(error.value)
    assert str(place) in message
    assert os.strerror(errno.ENOSPC) in message or os.strerror(errno.EFBIG) in message
    after = _contents(place)
    assert not [name for name in after if '.part' in name]
    for name, data in before.items():
        if name in writer.appends:
            assert after[name].startswith(data)
        elif after[name] != data:  # a small file that the second call could still write
            assert name.endswith('.json')
            assert json.loads(after[name])
    writer.write(place, 2)
    assert not [name for name in _contents(place) if '.part' in name]
    assert _contents(place) != before


@pytest.mark.parametrize('writer', WRITERS, ids=lambda writer: writer.name)
def test_full_file_system(writer, tmp_path):
    with _small_file_system(tmp_path) as place:
        _runs_out(writer, place, _no_space(place))


@pytest.mark.parametrize('writer', WRITERS, ids=lambda writer: writer.name)
def test_limited_file_size(writer, tmp_path, capsys):  # which captures in memory, not in files
    place = tmp_path / 'place'
    place.mkdir()
    _runs_out(writer, place, _short_files())


def test_quota(tmp_path, monkeypatch):
    """Root has none; what the system says to others is known."""
    write_json(tmp_path / 'score.json', [1])

    def refuse(_: int) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, 'fsync', refuse)
    with pytest.raises(UserError, match=r'cannot write .*score\.json: Disk quota exceeded'):
        write_json(tmp_path / 'score.json', [2])
    assert (tmp_path / 'score.json').read_text() == '[\n  1\n]\n'
    assert [path.name for path in tmp_path.iterdir()] == ['score.json']
