"""Progress of long work: a bar on a terminal, ten lines or fewer elsewhere, as the queue reads."""

import io
import itertools
import sys
import time
from datetime import timedelta

import pytest

from mmseg_uvpt.progress import APART, progress
from mmseg_uvpt.sweep import status


@pytest.fixture(autouse=True)
def slow(monkeypatch):
    """Have everything take as long as lines have to be apart."""
    monkeypatch.setattr(time, 'monotonic', itertools.count(0, APART).__next__)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_ten_lines_where_there_is_no_terminal(capsys, tmp_path):
    assert list(progress(range(1000), 'labelling', 'frame')) == list(range(1000))
    written = capsys.readouterr().err
    lines = written.splitlines()
    assert len(lines) == 10
    assert lines[0] == f'labelling: 100/1000 frames, {timedelta(seconds=900 * APART)} left'
    assert lines[-1] == 'labelling: 1000/1000 frames, 0:00:00 left'
    assert '\r' not in written
    (tmp_path / 'job.log').write_text(written)
    assert status.progress(tmp_path / 'job.log') == 'labelling 1000/1000, 0:00:00 left'


def test_short_work_is_told_of_at_its_end(capsys, monkeypatch):
    monkeypatch.setattr(time, 'monotonic', lambda: 0)
    list(progress(range(64), 'reading', 'image'))
    assert capsys.readouterr().err == 'reading: 64/64 images, 0:00:00 left\n'


@pytest.mark.parametrize('total', [None, 6])
def test_work_that_ends_unannounced_is_told_of(capsys, monkeypatch, total):
    """As that of a video which claims a frame more than it has."""
    monkeypatch.setattr(time, 'monotonic', lambda: 0)
    list(progress(iter(range(5)), 'predicting', 'frame', total))
    assert capsys.readouterr().err == 'predicting: 5 frames\n'


def test_the_plural_of_a_batch(capsys):
    list(progress(range(2), 'evaluating', 'batch'))
    assert 'evaluating: 2/2 batches, 0:00:00 left' in capsys.readouterr().err


@pytest.mark.parametrize(('total', 'done', 'lines'), [(3, 0, 3), (20, 17, 2), (0, 0, 0)])
def test_what_was_done_before_counts(capsys, total, done, lines):
    left = iter(range(total - done))
    assert len(list(progress(left, 'rendering', 'frame', total, done))) == total - done
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', Terminal())
    assert list(progress('abc', 'reading', 'file')) == ['a', 'b', 'c']
    assert 'reading: 100%|' in sys.stderr.getvalue()
    assert '3/3' in sys.stderr.getvalue()
