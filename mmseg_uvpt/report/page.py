"""The report: one page on one run or several, which needs no other file and no network."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import jinja2
from markupsafe import Markup

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_whole
from mmseg_uvpt.report import correction_plots, plots
from mmseg_uvpt.report.charts import Chart
from mmseg_uvpt.report.class_scores import ClassScores, class_scores
from mmseg_uvpt.report.config_changes import config_changes
from mmseg_uvpt.report.frames import Frames, predict_frames
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.report.verdict import HEADINGS, NOTE, Statement, statements
from mmseg_uvpt.sweep.results_table import hardware, hours_of

LIMIT = 5_000_000  # bytes of a page
PAGE = 'report.html'


@dataclass
class RunReport:
    """What a page says of one run.

    Args:
        files: its work folder.
        frames: what its models predict; None where nothing was predicted.
    """

    files: RunFolder
    frames: Frames | None = None
    statements: list[Statement] = field(default_factory=list)
    classes: ClassScores | None = None
    charts: list[Chart] = field(default_factory=list)
    confusions: list[Chart] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """What matters most of its statements."""
        return self.statements[0].kind if self.statements else NOTE

    @property
    def heading(self) -> str:
        """The verdict in a few words."""
        return HEADINGS[self.kind]

    def frame_data(self) -> Markup:
        """Return what the script needs to name what a pixel is, as JSON."""
        data = {'classes': self.frames.classes, 'palette': self.frames.palette}
        return Markup(json.dumps(data).replace('<', '\\u003c'))


def write_report(
    work_dirs: Sequence[str | Path], out: str | Path | None = None, predict: bool = True
) -> Path:
    """Write the report of some runs.

    Args:
        work_dirs: their work folders; the page compares them.
        out: file of the page; by default ``report.html`` in the first of them.
        predict: whether frames are predicted, with each run's models; otherwise the page holds
            what is on disk.

    Returns:
        Path: the page.

    Raises:
        UserError: a folder is none of a run; or the page cannot be written.
    """
    folders = [RunFolder(Path(folder)) for folder in work_dirs]
    for run in folders:
        if not (run.record or run.scores or run.selection):
            raise UserError(
                f'{run.folder} is no work folder: it holds no run.json, no selection.json and no '
                'result of a test'
            )
    reports = [_report(run, folders, predict) for run in folders]
    out = Path(out or folders[0].folder / PAGE)
    text = _render(reports)
    while len(text.encode()) > LIMIT and _shorten(reports):
        text = _render(reports)
    with write_whole(out, 'w') as file:
        file.write(text)
    return out


def _shorten(reports: Sequence[RunReport]) -> bool:
    """Leave out the last frame of each run, then charts of each; tell whether there were any."""
    framed = [report.frames for report in reports if report.frames and report.frames.shown]
    for frames in framed:
        del frames.shown[-1]
    charted = [] if framed else [report.charts for report in reports if report.charts]
    for charts in charted:
        del charts[-1]
    return bool(framed or charted)


def _report(run: RunFolder, all_runs: Sequence[RunFolder], predict: bool) -> RunReport:
    frames = predict_frames(run) if predict else None
    compared = frames and frames.comparison
    others = [other for other in all_runs if other is not run]
    found = RunReport(run, frames, statements(run, compared), class_scores(run, others, compared))
    drawn = (
        draw(run)
        for draw in (
            correction_plots.timeline,
            correction_plots.mended_and_spoilt,
            correction_plots.label_agreement,
        )
    )
    found.charts = [chart for chart in drawn if chart]
    if frames:
        found.confusions = [
            plots.confusion(counts, frames.classes, f'{name} model, {frames.total} frames')
            for name, counts in frames.confusions.items()
        ]
    return found


def _render(reports: Sequence[RunReport]) -> str:
    loader = jinja2.PackageLoader('mmseg_uvpt.report')
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {'number': _number, 'signed': _signed, 'cell': _cell}
    runs = [report.files for report in reports]
    by_class = {r.files.name: r.classes.rows for r in reports if r.classes}
    curves = (plots.score_curve(runs), plots.loss_curves(runs))
    return environment.get_template('page.html').render(
        runs=reports,
        title=', '.join(run.name for run in runs[:3]) + (', ...' if len(runs) > 3 else ''),
        curves=[chart for chart in curves if chart],
        differences=plots.class_differences(by_class),
        classes=list(dict.fromkeys(name for rows in by_class.values() for name in rows)),
        facts=[_facts(run) for run in runs],
        changes=[config_changes(run) for run in runs],
        style=Markup(loader.get_source(environment, 'style.css')[0]),
        script=Markup(loader.get_source(environment, 'script.js')[0]),
    )


def _facts(run: RunFolder) -> dict[str, object]:
    """Return environment, hardware and hours of a run, in the order of the page."""
    start, record, times = run.start, run.record, [x['time'] for x in run.logged if 'time' in x]
    git, environment = start.get('git') or {}, run.environment
    found = {
        'command': start.get('command'),
        'started': start.get('started'),
        'finished': record.get('finished'),
        'starts': len(record.get('starts') or ()) or None,
        'hours': _hours(run),
        'seconds an iteration, median': statistics.median(times) if times else None,
        'iterations': record.get('iterations'),
        'hardware': hardware(run.folder),
        'seed': start.get('seed'),
        'git': git.get('commit') and git['commit'] + (' and changes' if git.get('dirty') else ''),
        'parameters': (start.get('parameters') or {}).get('total'),
        'of these trained': (start.get('parameters') or {}).get('trainable'),
    }
    shown = ('host', 'platform', 'Python', 'PyTorch', 'CUDA available', 'mmseg_uvpt', 'timm')
    return found | {name: environment.get(name) for name in shown}


def _hours(run: RunFolder) -> float | None:
    """Return how long a training took: of one start by its record, of several by their files."""
    if run.place != run.folder or not run.record:
        return None
    try:
        if len(run.record['starts']) > 1:
            return hours_of(run.folder, run.record)
        began, ended = (
            datetime.fromisoformat(text) for text in (run.start['started'], run.record['finished'])
        )
        return (ended - began).total_seconds() / 3600
    except (UserError, LookupError, TypeError, ValueError):  # not finished, or damaged
        return None


def _number(value: object, digits: int = 2) -> str:
    return f'{value:.{digits}f}' if isinstance(value, int | float) else '-'


def _signed(value: object) -> str:
    return f'{value:+.2f}' if isinstance(value, int | float) else '-'


def _cell(value: object) -> str:
    if value is None or value == '':
        return '-'
    return f'{value:.4g}' if isinstance(value, float) else str(value)
