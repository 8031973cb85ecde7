"""Files that are wrong in ways nobody thought of: each script ends in one line, or goes on."""

import contextlib
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train
from mmseg_uvpt.engine.work_folder.claim import last_whole_checkpoint
from mmseg_uvpt.errors import UserError

SOURCE, ADAPTED, CHECKPOINT, LABELS = 'tiny.py', 'tiny-adapted.py', 'source.pth', 'labels'
NEW = ('--work-dir', 'new', '--data-root', 'data')
ADAPT = ('--source-checkpoint', CHECKPOINT, '--pseudo-label-dir', LABELS, '--data-root', 'data')
# what a script is called with, and which files it reads: any of them is spoilt
SCRIPTS = {
    'pretrain': (pretrain.main, (SOURCE, *NEW), (SOURCE, 'data/gta', 'data/cityscapes')),
    'pseudo_label': (
        generate_pseudo_label.main,
        ('--config', SOURCE, '--checkpoint', CHECKPOINT, '--pseudo_label_dir', LABELS, *NEW[2:]),
        (SOURCE, CHECKPOINT, LABELS, 'data/cityscapes/leftImg8bit/train'),
    ),
    'train': (
        train.main,
        (ADAPTED, '--work-dir', 'new', *ADAPT),
        (ADAPTED, CHECKPOINT, LABELS, 'data/cityscapes'),
    ),
    'resume': (
        train.main,
        (ADAPTED, '--work-dir', 'run', *ADAPT, '--resume', '--no-validate'),
        ('run', LABELS, 'data/cityscapes/leftImg8bit/train'),
    ),
    'test': (
        test.main,
        (SOURCE, CHECKPOINT, *NEW),
        (SOURCE, CHECKPOINT, 'data/cityscapes/leftImg8bit/val', 'data/cityscapes/gtFine'),
    ),
}


@pytest.fixture(scope='module')
def good(miniature, finished, tmp_path_factory) -> Path:
    """A folder with all that the scripts read: recipes, data, a checkpoint, labels, a run."""
    folder = tmp_path_factory.mktemp('good') / 'all'
    shutil.copytree(miniature / 'data', folder / 'data')
    for name in (SOURCE, ADAPTED):
        shutil.copy(miniature / name, folder / name)
    shutil.copy(finished / 'iter_4.pth', folder / CHECKPOINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main, arguments, _ = SCRIPTS['pseudo_label']
        main([*arguments])
        train.main([*SCRIPTS['resume'][1][:-2], '--no-validate'])
        Path('run/iter_4.pth').unlink()  # so that there is something to go on with
    return folder


def spoil(draw: random.Random, path: Path, others: list[Path]) -> str:
    """Make a file wrong; return in which way."""
    data, kind = bytearray(path.read_bytes()), draw.randrange(8)
    path.unlink()
    if kind == 0:
        path.mkdir()
        return 'a folder'
    if kind == 1:
        path.symlink_to('nowhere')
        return 'a link to nothing'
    if kind == 2:
        os.mkfifo(path)
        return 'a pipe'
    if kind == 3:
        other = draw.choice(others)
        shutil.copy(other, path)
        return f'a copy of {other}'
    if kind == 4:
        del data[draw.randrange(len(data) + 1) :]
        how = f'cut to {len(data)} bytes'
    else:
        how = []
        for _ in range(draw.choice((1, 3, 50))):
            at = draw.randrange(max(1, len(data)))
            data[at : at + 1] = draw.randbytes(draw.choice((0, 1, 1, 1, 7)))
            how.append(at)
        how = f'other bytes at {how[:5]}'
    path.write_bytes(data)
    return how


def unclear(good: Path, tmp_path: Path, script: str, seed: int, number: int) -> list[str]:
    """Return what ended in anything but one line, or in nothing wrong."""
    main, arguments, read = SCRIPTS[script]
    draw, found = random.Random(seed), []
    for i in range(number):
        here = shutil.copytree(good, tmp_path / str(i))
        os.chdir(here)
        files = sorted(p for part in map(Path, read) for p in (part, *part.rglob('*')))
        files = [p for p in files if p.is_file() and not p.name.endswith(('.lock', '.log'))]
        path = draw.choice(files)
        what = f'{path}, {spoil(draw, path, [p for p in files if p != path])}'
        try:
            main([*arguments])
        except (UserError, OSError) as error:
            if '\n' in str(error) or (isinstance(error, OSError) and error.filename is None):
                found.append(f'{what}: {error!r}')
        except BaseException as error:  # SystemExit too: a config file is a program
            found.append(f'{what}: {error!r}')
        os.chdir(tmp_path)
        shutil.rmtree(here)
    return found


@pytest.fixture
def unclear_of(good, tmp_path, monkeypatch) -> Callable:
    monkeypatch.chdir(tmp_path)  # restored at the end
    return lambda *args: unclear(good, tmp_path, *args)


@pytest.mark.slow
@pytest.mark.parametrize('script', SCRIPTS)
def test_nothing_waits_for_a_pipe(good, tmp_path, monkeypatch, script):
    """Each file that a script reads or goes on with is a pipe that nobody writes to, in turn."""
    main, arguments, read = SCRIPTS[script]

    def too_long(*_: object) -> None:
        pytest.fail(f'{path}: the script waits')

    before = signal.signal(signal.SIGALRM, too_long)
    try:
        for path in sorted(p for part in read for p in files_below(good, part)):
            here = shutil.copytree(good, tmp_path / 'here')
            monkeypatch.chdir(here)
            path.unlink()
            os.mkfifo(path)
            signal.alarm(30)
            with contextlib.suppress(UserError, OSError):
                main([*arguments])
            signal.alarm(0)
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(here)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def files_below(folder: Path, part: str) -> list[Path]:
    """Return the file ``part`` of a folder, or the first of each kind in that folder."""
    kinds = {}
    for path in sorted([folder / part, *(folder / part).rglob('*')]):
        if path.is_file():
            kinds.setdefault((path.parent.name, path.suffix), path.relative_to(folder))
    return list(kinds.values())


def test_a_checkpoint_that_is_a_pipe(tmp_path):
    """Is damaged, as any other that cannot be read."""
    (tmp_path / 'iter_1.pth').mkdir()
    os.mkfifo(tmp_path / 'iter_2.pth')
    signal.alarm(10)  # ends the process: nothing else would
    try:
        with pytest.raises(UserError, match=r'all are damaged: iter_2\.pth, iter_1\.pth'):
            last_whole_checkpoint(tmp_path)
    finally:
        signal.alarm(0)


@pytest.mark.parametrize('script', SCRIPTS)
def test_a_few(unclear_of, script):
    assert unclear_of(script, 5, 2) == []


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('script', SCRIPTS)
def test_a_hundred(unclear_of, script, seed):
    assert unclear_of(script, seed, 100) == []
