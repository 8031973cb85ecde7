"""The leaderboard as Markdown, CSV and LaTeX."""

from collections import Counter
from collections.abc import Sequence

from mmseg_uvpt.leaderboard.leaderboard_rows import Difference, Gain, Row, Spread, summarise
from mmseg_uvpt.leaderboard.run_record import LAST_ONE
from mmseg_uvpt.selection.committee import GUARDED
from mmseg_uvpt.tables import difference, markdown, number, records_to_csv

LATEX = '% made by tools/leaderboard.py'  # how a table begins
_LATEX = {'%': r'\%', '&': r'\&', '_': r'\_', '±': r'$\pm$'}


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a Markdown table, without the columns that have no entry, and what did harm."""
    return f'{markdown(*_cells(rows))}\n{_harm(rows)}\n'


def to_latex(rows: Sequence[Row]) -> str:
    """Return a table of LaTeX's package booktabs, without the columns that have no entry."""
    head, lines = _cells(rows)
    body = [' & '.join(map(_escaped, line)) + r' \\' for line in (head, *lines)]
    return '\n'.join(
        [
            LATEX,
            *(rf'\begin{{tabular}}{{{"l" * len(head)}}}', r'\toprule', body[0], r'\midrule'),
            *(*body[1:], r'\bottomrule', r'\end{tabular}', ''),
        ]
    )


def to_csv(rows: Sequence[Row]) -> str:
    """Return all columns, each number in one of its own."""
    return records_to_csv([_flat(summarise(row, rows)) for row in rows])


def _flat(entries: dict) -> dict:
    """Return a table's row with deviations, bounds and seeds as entries of their own."""
    flat = {}
    for title, value in entries.items():
        has_parts = isinstance(value, Spread | Difference | Gain)
        named = value._asdict() if has_parts else {'mean': value}
        flat |= {title if n == 'mean' else f'{title}: {n}': v for n, v in named.items()}
    return flat


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return titles and cells of the columns that have entries."""
    entries = [summarise(row, rows) for row in rows]
    texts = [[_text(value, len(e['seeds'])) for value in e.values()] for e in entries]
    columns = [c for c in zip(entries[0], *texts, strict=True) if any(c[1:])]
    head, *lines = map(list, zip(*columns, strict=True))
    return head, lines


def _harm(rows: Sequence[Row]) -> str:
    """Say how many runs end below their source models, and how many spoil more than they mend."""
    told = []
    for which in (LAST_ONE, GUARDED):
        gains = [(row.facts['row'], gain) for row in rows for gain in row.gains(which)]
        below = Counter(name for name, gain in gains if gain < 0)
        named = ', '.join(f'{name} {count}' for name, count in below.most_common())
        if gains:
            harmed = f'{below.total()} of {len(gains)}' + (named and f' ({named})')
            told.append(f'the {which} one in {harmed}')
    harm = f'Below its source model is {" and ".join(told)}.'
    corrected = [end for row in rows for end in row.corrected()]
    if not corrected:
        return harm
    spoilt = sum(spoilt > mended for mended, spoilt in corrected)
    return (
        f'{harm} Of the {len(corrected)} runs whose label correction changed labels, it spoilt '
        f'more pixels than it mended in {spoilt}.'
    )


def _text(value: object, seeds: int) -> str:
    """Return an entry as text; where fewer than all seeds have a value, their number is said."""
    if value is None:
        return ''
    if isinstance(value, list):
        return ', '.join(map(str, value))
    if isinstance(value, int | float):
        return f'{value:,}' if isinstance(value, int) else f'{value:.2f}'
    if isinstance(value, str):
        return value
    if not value.seeds:
        return ''
    if isinstance(value, Spread):
        spread = '' if value.deviation is None else f' ± {number(value.deviation)}'
        text = number(value.mean) + spread
    else:
        bounded = isinstance(value, Difference) and value.low is not None
        text = difference(value.mean, (value.low, value.high) if bounded else None)
    return text if value.seeds == seeds else f'{text} (n={value.seeds})'


def _escaped(text: str) -> str:
    return ''.join(_LATEX.get(letter, letter) for letter in text)
