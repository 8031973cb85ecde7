"""The results as Markdown, as JSON and as CSV."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import fields

from mmseg_uvpt.sweep.jobs import shown
from mmseg_uvpt.sweep.results_table import CHOICES, Result, Run
from mmseg_uvpt.sweep.scores import SIZES
from mmseg_uvpt.sweep.variant_comparison import less_full
from mmseg_uvpt.tables import difference, markdown, number, records_to_csv

_BOUNDS = ('less_full_low', 'less_full_high')
_MODELS, _FIGURES = ('source_model', 'adapted_model'), ('source', 'adapted', 'gain')


def to_records(results: Sequence[Result]) -> list[dict]:
    """Return a flat record for each row and class set, with means and deviations over the runs."""
    has_variants, records = _has_variants(results), []
    for result in results:
        for size in SIZES:
            row, published = result.row, result.published(size)
            record = {
                **{'method': row.method, 'backbone': row.backbone, 'source': row.source},
                **({'variant': row.variant} if has_variants else {}),
                'config': (row.adaptation or row.pretraining).name,
                'classes': size,
                **{which: result.models(which) for which in _MODELS},
            }
            names = ('source_only', 'adapted', 'gain')
            record |= {f'published_{n}': v for n, v in zip(names, published, strict=True)}
            for what, name in zip(_FIGURES, names, strict=True):
                values = result.measured(what, size)
                record[name] = statistics.mean(values) if values else None
                record[f'{name}_deviation'] = statistics.stdev(values) if len(values) > 1 else None
            if has_variants:
                mean, interval = less_full(result, results, size) or (None, None)
                record['less_full'] = mean
                record |= dict(zip(_BOUNDS, interval or (None, None), strict=True))
            for rule in CHOICES:
                values = result.measured_choice(rule, size)
                record[f'chosen by {rule}'] = statistics.mean(values) if values else None
            records.append(record | result.facts)
    return records


def to_json(results: Sequence[Result]) -> str:
    """Return the records, and below them each run, as JSON."""
    shown_of = [each.name for each in fields(Run) if each.name != 'test']
    runs = [
        {'row': r.row.adapted_name, **{name: getattr(run, name) for name in shown_of}}
        for r in results
        for run in r.runs
    ]
    whole = {'unit': 'mIoU in percent', 'table': to_records(results), 'runs': runs}
    return json.dumps(whole, indent=2, allow_nan=False) + '\n'


def to_csv(results: Sequence[Result]) -> str:
    """Return the records as CSV; the entries of lists are separated by semicolons."""
    return records_to_csv(to_records(results))


def to_markdown(results: Sequence[Result]) -> str:
    """Return the table: what was published, and what was measured beside it if anything was."""
    measured = any(result.runs for result in results)
    figures = ['source-only', 'adapted', 'gain']
    has_variants = _has_variants(results)
    head = ['pretraining, backbone, source', *(['variant'] if has_variants else []), 'classes']
    if measured:
        head += [f'published: {figure}' for figure in figures]
        head += ['models', *(f'ours: {figure}' for figure in figures), 'ours: chosen by']
        head += [f'evaluations: {" / ".join(CHOICES)}']
        head += ['iterations', 'seeds', 'hardware', 'hours']
        head += ['ours: less the full method', 'parameters trained'] if has_variants else []
    else:
        head += [*figures, 'config', 'adapted model']
    lines = []
    for result in results:
        for size in result.sizes:
            source, adapted, gain = result.published(size)
            known = (number(source), number(adapted), number(gain, '+'))
            more = _measured(result, size) if measured else _links(result, size)
            if measured and has_variants:
                more += [_difference(result, results, size), _list(result.facts['parameters'])]
            variant = [result.row.variant] if has_variants else []
            lines.append([result.row.source_model, *variant, str(size), *known, *more])
    return markdown(head, lines)


def _has_variants(results: Sequence[Result]) -> bool:
    return any(result.row.variant for result in results)


def _links(result: Result, size: int) -> list[str]:
    """Return config, as the current folder names it, and released model, in a row's first line."""
    if size != result.sizes[0]:
        return ['', '']
    path, model = result.row.adaptation, result.released
    link = f'[`{path.name}`]({shown(path)})' if path else ''
    return [link, f'`{model}`' if model else '']


def _difference(result: Result, results: Sequence[Result], size: int) -> str:
    """Return that to the full method and its interval: +0.3 (-0.1 to +0.7)."""
    return difference(*(less_full(result, results, size) or (None, None)))


def _measured(result: Result, size: int) -> list[str]:
    models = ' / '.join(result.models(which) or '-' for which in _MODELS) if result.runs else ''
    ours = [
        _over_seeds(result.measured(what, size), len(result.runs), '+' if what == 'gain' else '')
        for what in _FIGURES
    ]
    choices = [
        _over_seeds(result.measured_choice(rule, size), len(result.runs)) for rule in CHOICES
    ]
    facts = result.facts
    return [
        *(models, *ours, ' / '.join(facts['chosen_by'])),
        ' / '.join(choices) if any(choices) else '',
        _list(facts['iterations']),
        *(_list(facts['seeds']), '; '.join(facts['hardware'])),
        '' if facts['hours'] is None else f'{facts["hours"]:.1f}',
    ]


def _list(values: Sequence[int]) -> str:
    return ', '.join(map(str, values))


def _over_seeds(values: list[float], seeds: int, sign: str = '') -> str:
    """Return a value, or the mean of several with their sample standard deviation.

    Where fewer than all seeds have a value, their number is said.
    """
    if not values:
        return ''
    mean = number(statistics.mean(values), sign)
    spread = '' if len(values) == 1 else f' ± {statistics.stdev(values):.1f}'
    return mean + spread + ('' if len(values) == seeds else f' (n={len(values)})')
