"""The results as JSON and as CSV."""

import csv
import io
import json
import statistics
from collections.abc import Sequence

from mmseg_uvpt.sweep.results_table import Result
from mmseg_uvpt.sweep.scores import SIZES


def to_records(results: Sequence[Result]) -> list[dict]:
    """Return a flat record for each row and class set, with means and deviations over the runs."""
    records = []
    for result in results:
        for size in SIZES:
            row = result.row
            record = {
                **{'method': row.method, 'backbone': row.backbone, 'source': row.source},
                'config': (row.adaptation or row.pretraining).name,
                'classes': size,
                **{which: result.models(which) for which in ('source_model', 'adapted_model')},
                'published_source_only': result.published_source.get(size),
                'published_adapted': result.published_adapted.get(size),
                'published_gain': _difference(
                    result.published_adapted.get(size), result.published_source.get(size)
                ),
            }
            for what, name in (('source', 'source_only'), ('adapted',) * 2, ('gain',) * 2):
                values = result.measured(what, size)
                record[name] = statistics.mean(values) if values else None
                record[f'{name}_deviation'] = statistics.stdev(values) if len(values) > 1 else None
            record['seeds'] = [run.seed for run in result.runs]
            record['iterations'] = sorted({r.iterations for r in result.runs if r.iterations})
            hours = [run.hours for run in result.runs if run.hours is not None]
            record['hours'] = statistics.mean(hours) if hours else None
            record['hardware'] = sorted({run.hardware for run in result.runs if run.hardware})
            records.append(record)
    return records


def _difference(adapted: float | None, source: float | None) -> float | None:
    return None if None in (adapted, source) else round(adapted - source, 6)


def to_json(results: Sequence[Result]) -> str:
    """Return the records, and below them each run, as JSON."""
    runs = [{'row': result.row.name, **vars(run)} for result in results for run in result.runs]
    whole = {'unit': 'mIoU in percent', 'table': to_records(results), 'runs': runs}
    return json.dumps(whole, indent=2, allow_nan=False) + '\n'


def to_csv(results: Sequence[Result]) -> str:
    """Return the records as CSV; the entries of lists are separated by semicolons."""
    records = to_records(results)
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0])
    writer.writeheader()
    for record in records:
        writer.writerow(
            {k: '; '.join(map(str, v)) if isinstance(v, list) else v for k, v in record.items()}
        )
    return text.getvalue()
