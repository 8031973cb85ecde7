"""What the tools refuse on their command lines."""

import argparse
import subprocess
import sys

import pytest

from mmseg_uvpt.arguments import from_0_to_1, positive_int, seed
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


def test_numbers():
    assert positive_int('1') == 1
    assert seed('0') == 0
    assert seed('4294967295') == 2**32 - 1
    for text in ('0', '-1', '1.5', '', 'x'):
        with pytest.raises(argparse.ArgumentTypeError, match='is not a whole number above 0'):
            positive_int(text)
    for text in ('-1', '4294967296', 'x'):
        with pytest.raises(argparse.ArgumentTypeError, match='is not a whole number from 0 to'):
            seed(text)
    assert [from_0_to_1(text) for text in ('0', '0.5', '1')] == [0, 0.5, 1]
    for text in ('-0.1', '1.01', 'nan', 'x'):
        with pytest.raises(argparse.ArgumentTypeError, match='is not a number from 0 to 1'):
            from_0_to_1(text)


@pytest.mark.parametrize(
    ('script', 'options'),
    [
        ('tools/demo.py', ('--iterations', '--train-frames', '--val-frames')),
        ('tools/make_demo_data.py', ('--nproc', '--train-frames', '--val-frames')),
        ('tools/check_data.py', ('--nproc',)),
        ('tools/convert_datasets/gta.py', ('--nproc',)),
        ('generate_pseudo_label.py', ('--batch-size',)),
    ],
)
def test_numbers_of_things_are_above_0(script, options):
    for option in options:
        assert f"argument {option}: '0' is not a whole number above 0" in refusal(
            script, option, '0'
        )


@pytest.mark.parametrize('script', ['tools/demo.py', 'tools/make_demo_data.py', 'test.py'])
def test_seeds_are_not_negative(script):
    assert "argument --seed: '-1' is not a whole number from 0" in refusal(script, '--seed', '-1')


def refusal(*command: str) -> str:
    """Return what a script says of wrong arguments."""
    done = subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    return done.stderr
