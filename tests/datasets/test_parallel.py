import os
import signal

import pytest

from mmseg_uvpt.datasets.parallel import run_each
from mmseg_uvpt.errors import UserError


def square(number):
    return number * number


def die_at_three(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def fail_at_three(number):
    if number == 3:
        raise UserError('no space left')
    return number


@pytest.mark.parametrize('nproc', [1, 2])
def test_every_item_is_worked_on_once(nproc):
    results = list(run_each(square, range(20), nproc, on_death=None))
    assert sorted(results) == [n * n for n in range(20)]


@pytest.mark.slow
def test_item_that_kills_its_worker_is_told_and_the_others_are_done():
    results = list(run_each(die_at_three, range(8), 2, on_death=lambda number: -number))
    assert sorted(results) == [-3, 0, 1, 4, 16, 25, 36, 49]


@pytest.mark.parametrize('nproc', [1, 2])
def test_error_ends_the_run(nproc):
    with pytest.raises(UserError, match='no space left'):
        list(run_each(fail_at_three, range(8), nproc, on_death=None))
