"""``uvpt``, or ``python -m mmseg_uvpt``: all scripts and tools as subcommands."""

import sys
from collections.abc import Collection
from difflib import get_close_matches

from mmseg_uvpt import __version__
from mmseg_uvpt.errors import UserError, run_cli
from mmseg_uvpt.subcommands import PROGRAM, SUBCOMMANDS


def main() -> int | None:
    """Run the subcommand that the process's arguments name; without one, list all.

    Raises:
        UserError: there is none of that name; or by the subcommand.
    """
    given = sys.argv[1:]
    if not given or given[0] in ('-h', '--help'):
        print(_overview())
        return None
    if given == ['--version']:
        print(__version__)
        return None
    for words in (2, 1):
        if subcommand := SUBCOMMANDS.get(name := ' '.join(given[:words])):
            sys.argv = [f'{PROGRAM} {name}', *given[words:]]  # what --help calls it
            return subcommand.run()
    same = [name for name in SUBCOMMANDS if name.startswith(f'{given[0]} ')]
    if same and given[1:] in ([], ['-h'], ['--help']):
        print(_overview(same))
        return None
    nearest = same or get_close_matches(given[0], SUBCOMMANDS, 3, 0)
    raise UserError(f'there is no {PROGRAM} {given[0]}; nearest: {", ".join(nearest)}')


def _overview(names: Collection[str] = SUBCOMMANDS) -> str:
    width = max(map(len, names))
    lines = [f'  {name:{width}}  {SUBCOMMANDS[name].about}' for name in names]
    usage = f'usage: {PROGRAM} SUBCOMMAND [arguments]\n       {PROGRAM} SUBCOMMAND --help'
    return '\n'.join([usage, '', 'subcommands:', *lines])


def run() -> None:
    """Run `main` as the program of a console."""
    run_cli(main)


if __name__ == '__main__':
    run()
