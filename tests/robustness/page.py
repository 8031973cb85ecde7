"""Write the tables of docs/robustness.md: ``python tests/robustness/page.py``."""

import contextlib
import io
import sys
from collections import Counter
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import conftest  # noqa: F401
import damages
import matrix
import readers
import writers

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / 'docs/robustness.md'
BEGIN, END = '<!-- made by tests/robustness/page.py -->', '<!-- end of what it made -->'
_NAMES = 'odd name'


@cache
def counts() -> dict[readers.Reader, dict[str, Counter]]:
    """Return how often each outcome comes of each group of damages, a reader each."""
    found = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for reader in readers.READERS:
            groups = found[reader] = {}
            for damage in matrix.damages_of(reader):
                one = matrix.outcome(reader, damage)
                groups.setdefault(damage.group, Counter())[one] += 1
            for name in matrix.NAMES.values():
                groups.setdefault(_NAMES, Counter())[matrix.outcome_under(reader, name)] += 1
            if reader.kind == 'json':
                values = groups.get('values', Counter())
                groups['values'] = values + matrix.outcomes_of_values(reader)
    return found


def table() -> str:
    """Return the tables as Markdown."""
    found = counts()
    columns = [*dict.fromkeys(damage.group for damage in damages.DAMAGES), _NAMES]
    lines = [_line(['file', *columns]), '|---' * (len(columns) + 1) + '|']
    for reader, groups in found.items():
        name = f'{reader.name}, `{Path(reader.file).name}`'
        lines.append(_line([name, *(_cell(groups.get(column)) for column in columns)]))
    total = sum((counter for groups in found.values() for counter in groups.values()), Counter())
    summary = ', '.join(f'{number} {what}' for what, number in total.most_common())
    places = ', '.join(writer.name for writer in writers.WRITERS)
    return '\n'.join(
        [
            f'{total.total()} cases over {len(found)} kinds of files: {summary}.',
            '',
            *lines,
            '',
            f'The {len(writers.WRITERS)} places that write: {places}.',
        ]
    )


def updated(text: str) -> str:
    """Return the page's text with the tables as they are now."""
    head, _, rest = text.partition(BEGIN)
    return f'{head}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}'


def _cell(counter: Counter | None) -> str:
    return ', '.join(f'{number} {what}' for what, number in sorted((counter or {}).items()))


def _line(cells: list[str]) -> str:
    return f'| {" | ".join(cells)} |'


if __name__ == '__main__':
    PAGE.write_text(updated(PAGE.read_text()))
    matrix.remove_all()
