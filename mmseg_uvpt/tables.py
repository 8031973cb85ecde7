"""Tables as Markdown and CSV, and where a tool puts one: a page, a file or the console."""

import argparse
import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_bytes, why_unreadable, write_text

BEGIN, END = '<!-- made by {} -->', '<!-- end of what it made -->'


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    shown = [f'| {" | ".join(cells)} |' for cells in (head, *lines)]
    return '\n'.join([shown[0], '|---' * len(head) + '|', *shown[1:]]) + '\n'


def number(value: float | None, sign: str = '') -> str:
    """Return a value with one decimal; nothing for None."""
    return '' if value is None else f'{round(value, 1) + 0.0:{sign}.1f}'  # 0.0, not -0.0


def difference(mean: float | None, bounds: Sequence[float] | None) -> str:
    """Return a difference with the bounds of its interval, if any: +0.3 (-0.1 to +0.7)."""
    between = ' to '.join(number(bound, '+') for bound in bounds or ())
    return number(mean, '+') + (f' ({between})' if between else '')


def records_to_csv(records: Sequence[dict]) -> str:
    """Return flat records of the same keys as CSV; see `to_csv`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0])
    writer.writeheader()
    for record in records:
        writer.writerow(
            {k: '; '.join(map(str, v)) if isinstance(v, list) else v for k, v in record.items()}
        )
    return text.getvalue()


def add_target(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where `deliver` puts a table."""
    target = parser.add_mutually_exclusive_group()
    target.add_argument('--out', type=Path, metavar='FILE', help='default: the console')
    target.add_argument(
        '--page', type=Path, metavar='FILE', help='a page with a marked place for the table'
    )


def check_target(args: argparse.Namespace) -> None:
    """Raise a `UserError` where a page is to take a table of another format."""
    if args.page and args.format != 'markdown':
        raise UserError(f'--page takes a Markdown table, not --format {args.format}')


def deliver(
    text: str, page: Path | None, out: Path | None, begins: tuple[bytes, ...], tool: str
) -> None:
    """Put a table where a tool was asked to: into a page, into a file, or on the console.

    Args:
        text: the table.
        page: as for `update_page`, with ``tool``; None for no page.
        out: file that takes it; None for none.
        begins: how such tables begin, of which alone the file may be one already.
        tool: see `update_page`.

    Raises:
        UserError: the file holds something else; or see `update_page`.
    """
    if page:
        update_page(page, text, tool)
    elif out:
        refuse_other_file(out, begins)
        write_text(out, text)
    else:
        print(text, end='')


def refuse_other_file(path: Path, begins: tuple[bytes, ...]) -> None:
    """Raise a `UserError` where something would replace a file that does not begin like it."""
    if os.path.lexists(path) and not (path.is_file() and path.read_bytes().startswith(begins)):
        raise UserError(
            f'{path} exists, was not made here and would be overwritten: name another file'
        )


def update_page(page: Path, table: str, tool: str) -> None:
    """Put a table into a page, between the two comments that mark its place.

    Args:
        page: Markdown file.
        table: that takes the place of what is there.
        tool: that the first comment names, since a page may have several tables.

    Raises:
        UserError: the page has no such place, or cannot be read or written.
    """
    try:
        text = read_bytes(page).decode()
    except OSError as error:
        raise UserError(f'{page} {why_unreadable(page, error)}') from error
    except ValueError as error:
        raise UserError(f'{page} is no text in UTF-8: {error}') from error
    begin = BEGIN.format(tool)
    pattern = re.compile(f'({re.escape(begin)}\n).*?({re.escape(END)})', re.DOTALL)
    if not pattern.search(text):
        raise UserError(f'{page} has no place for the table: a line {begin} and a line {END}')
    write_text(page, pattern.sub(lambda m: f'{m[1]}\n{table}\n{m[2]}', text, count=1))
