"""The results as a Markdown table, and its place in a page."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import why_unreadable, write_whole
from mmseg_uvpt.sweep.results_table import Result

BEGIN, END = '<!-- made by tools/results_table.py -->', '<!-- end of what it made -->'


def to_markdown(results: Sequence[Result], config_root: str = 'configs') -> str:
    """Return the table: what was published, and what was measured beside it if anything was.

    Args:
        results: of `results.collect`.
        config_root: as links shall name it.
    """
    measured = any(result.runs for result in results)
    figures = ['source-only', 'adapted', 'gain']
    head = ['pretraining, backbone, source', 'classes']
    if measured:
        head += [f'published: {figure}' for figure in figures]
        head += ['models', *(f'ours: {figure}' for figure in figures)]
        head += ['iterations', 'seeds', 'hardware', 'hours']
    else:
        head += [*figures, 'config', 'adapted model']
    lines = [_line(head), '|---' * len(head) + '|']
    for result in results:
        for size in result.sizes:
            lines.append(_line(_cells(result, size, measured, config_root)))
    return '\n'.join(lines) + '\n'


def _cells(result: Result, size: int, measured: bool, config_root: str) -> list[str]:
    source, adapted = (
        scores.get(size) for scores in (result.published_source, result.published_adapted)
    )
    gain = None if None in (source, adapted) else adapted - source
    cells = [str(result.row), str(size), _number(source), _number(adapted), _number(gain, '+')]
    first = size == result.sizes[0]
    if not measured:
        path = result.row.adaptation
        link = f'[`{path.name}`]({config_root}/{path.parent.name}/{path.name})' if path else ''
        model = f'`{result.released}`' if result.released else ''
        return [*cells, *((link, model) if first else ('', ''))]
    runs = result.runs
    models = [result.models(which) or '-' for which in ('source_model', 'adapted_model')]
    cells.append(' / '.join(models) if runs else '')
    cells += [_over_seeds(result.measured(w, size), len(runs)) for w in ('source', 'adapted')]
    cells.append(_over_seeds(result.measured('gain', size), len(runs), '+'))
    hours = [run.hours for run in runs if run.hours is not None]
    return [
        *cells,
        ', '.join(str(n) for n in sorted({run.iterations for run in runs if run.iterations})),
        ', '.join(str(run.seed) for run in runs),
        '; '.join(sorted({run.hardware for run in runs if run.hardware})),
        f'{statistics.mean(hours):.1f}' if hours else '',
    ]


def _over_seeds(values: list[float], seeds: int, sign: str = '') -> str:
    """Return a value, or the mean of several with their sample standard deviation.

    Where fewer than all seeds have a value, their number is said.
    """
    if not values:
        return ''
    mean = _number(statistics.mean(values), sign)
    spread = '' if len(values) == 1 else f' ± {statistics.stdev(values):.1f}'
    return mean + spread + ('' if len(values) == seeds else f' (n={len(values)})')


def _number(value: float | None, sign: str = '') -> str:
    return '' if value is None else f'{round(value, 1) + 0.0:{sign}.1f}'  # 0.0, not -0.0


def _line(cells: Sequence[str]) -> str:
    return f'| {" | ".join(cells)} |'


def update_page(page: Path, table: str) -> None:
    """Put a table into a page, between the two comments that mark its place.

    Raises:
        UserError: the page has no such place, or cannot be read or written.
    """
    try:
        text = page.read_text(encoding='utf-8')
    except OSError as error:
        raise UserError(f'{page} {why_unreadable(page, error)}') from error
    except ValueError as error:
        raise UserError(f'{page} is no text in UTF-8: {error}') from error
    pattern = re.compile(f'({re.escape(BEGIN)}\n).*?({re.escape(END)})', re.DOTALL)
    if not pattern.search(text):
        raise UserError(f'{page} has no place for the table: a line {BEGIN} and a line {END}')
    with write_whole(page, 'w') as file:
        file.write(pattern.sub(lambda m: f'{m[1]}\n{table}\n{m[2]}', text, count=1))
