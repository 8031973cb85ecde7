"""Writing in threads: everything is done at the end, the first error is the caller's."""

import os
import stat
import threading

import numpy as np
import pytest

from mmseg_uvpt.engine.inference import writers as module
from mmseg_uvpt.engine.inference.writers import Writers
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png

THREADS = 2


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(module, 'share_of_processors', lambda: THREADS)


def test_all_is_done_at_the_end_with_the_permissions_of_one_thread(tmp_path):
    before = os.umask(0o027)
    try:
        with Writers() as writers:
            for i in range(40):
                writers.submit(write_png, tmp_path / f'{i}.png', np.full((8, 8), i, np.uint8))
        assert len(list(tmp_path.iterdir())) == 40
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}
    finally:
        assert os.umask(before) == 0o027


def test_a_slow_disk_slows_the_caller_down():
    disk, handed_over = threading.Event(), []

    def hand_over():
        with Writers() as writers:
            for i in range(20):
                writers.submit(disk.wait)
                handed_over.append(i)

    caller = threading.Thread(target=hand_over)
    caller.start()
    caller.join(0.2)
    assert caller.is_alive()
    assert len(handed_over) == 3 * THREADS
    disk.set()
    caller.join(10)
    assert len(handed_over) == 20


def test_the_first_error_ends_the_block_and_nothing_new_begins():
    failed, done = threading.Event(), []

    def fail():
        try:
            raise UserError('cannot write x.png: No space left on device')
        finally:
            failed.set()

    def hand_over():
        with Writers() as writers:
            writers.submit(fail)
            failed.wait(10)
            for i in range(100):
                writers.submit(done.append, i)

    with pytest.raises(UserError, match=r'x\.png'):
        hand_over()
    assert len(done) < 100


def test_an_error_of_the_last_job_is_not_lost():
    def fail():
        raise UserError('cannot write x.png')

    with pytest.raises(UserError, match=r'x\.png'), Writers() as writers:
        writers.submit(fail)


def test_an_error_of_the_block_drops_what_waits():
    disk, began = threading.Event(), []

    def write(i: int) -> None:
        began.append(i)
        disk.wait(10)

    def stopped():
        with Writers() as writers:
            for i in range(3 * THREADS):
                writers.submit(write, i)
            threading.Timer(0.2, disk.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert len(began) == THREADS
