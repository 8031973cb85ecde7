"""Parser and types of command-line arguments. Nothing slow is imported: ``--help`` is instant."""

import argparse
import math
import textwrap
from collections.abc import Callable

from mmseg_uvpt.subcommands import as_typed


class _Paragraphs(argparse.RawDescriptionHelpFormatter):
    """Wraps paragraphs of a description; what has indented lines, as examples have, stays."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (
            part if '\n ' in part else textwrap.fill(part, width) for part in text.split('\n\n')
        )
        return '\n\n'.join(paragraphs)


class ScriptParser(argparse.ArgumentParser):
    """Parser whose help names scripts as they are typed: as files, or in a wheel by `uvpt`."""

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**{'formatter_class': _Paragraphs, **kwargs})

    def format_help(self) -> str:
        return as_typed(super().format_help())


def positive_int(text: str) -> int:
    """Return an argument as an integer above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number above 0')
    return int(text)


def whole_number(text: str) -> int:
    """Return an argument as an integer that is not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number')
    return int(text)


def positive_number(text: str) -> float:
    """Return an argument as a number above 0."""
    return _number(text, lambda number: 0 < number < math.inf, 'above 0')


def seed(text: str) -> int:
    """Return an argument as an integer that numpy takes as a seed: 32 bits, not negative."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f'{text!r} is not a whole number from 0 to {2**32 - 1}')
    return int(text)


def share(text: str) -> float:
    """Return an argument as a number that is above 0 and below 1."""
    return _number(text, lambda number: 0 < number < 1, 'between 0 and 1')


def from_0_to_1(text: str) -> float:
    """Return an argument as a number from 0 to 1, both included."""
    return _number(text, lambda number: 0 <= number <= 1, 'from 0 to 1')


def _number(text: str, is_allowed: Callable[[float], bool], what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not is_allowed(number):
        raise argparse.ArgumentTypeError(f'{text!r} is not a number {what}')
    return number


def key_and_value(text: str) -> str:
    """Return an argument that has an equals sign with something before it and after it."""
    if '=' not in text.strip('='):
        raise argparse.ArgumentTypeError(f'{text!r} is not of the form key=value')
    return text
