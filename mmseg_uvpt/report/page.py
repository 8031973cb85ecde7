"""The report: one page on one run or several, which needs no other file and no network."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

import jinja2
from markupsafe import Markup

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import printable, size_text, write_text
from mmseg_uvpt.report import confidence_plots, correction_plots, plots
from mmseg_uvpt.report.charts import Chart
from mmseg_uvpt.report.class_scores import ClassScores, class_scores
from mmseg_uvpt.report.config_changes import config_changes
from mmseg_uvpt.report.facts import facts_of
from mmseg_uvpt.report.frames import Frames, predict_frames
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.report.verdict import HEADINGS, NOTE, Statement, statements
from mmseg_uvpt.tables import refuse_other_file

LIMIT = 5_000_000  # bytes of a page
PAGE = 'report.html'
_LOADER = jinja2.PackageLoader('mmseg_uvpt.report')


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
    coverage: Chart | None = None
    calibration: list[str] = field(default_factory=list)
    frames_cut: int = 0
    charts_cut: int = 0

    @property
    def kind(self) -> str:
        """What matters most of its statements."""
        return self.statements[0].kind if self.statements else NOTE

    @property
    def heading(self) -> str:
        """The verdict in a few words."""
        return HEADINGS[self.kind]

    @property
    def evaluations(self) -> list[tuple]:
        """Iteration, `metric` and its bounds of each evaluation."""
        return plots.evaluations(self.files)

    @property
    def metric(self) -> str:
        """Name of the score of the evaluations."""
        return plots.metric_of(self.files)

    @property
    def means(self) -> list[str]:
        """Names of the mean IoUs that tests gave: one a set of classes."""
        scores = self.files.scores.values()
        return list(dict.fromkeys(name for s in scores for name in s.get('intervals') or {}))

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
        UserError: a folder is none of a run; or the page cannot be written, or would replace a file
            that is no page.
    """
    folders = _named([Path(folder) for folder in dict.fromkeys(work_dirs)])
    for run in folders:
        if not (run.record or run.scores or run.selection):
            raise UserError(
                f'{run.folder} is no work folder: it holds no run.json, no selection.json and no '
                'result of a test'
            )
    out = Path(out or folders[0].folder / PAGE)
    refuse_other_file(out, (_beginning(),))
    reports = [_report(run, folders, predict) for run in folders]
    shown = _shown(reports)
    text = _render(shown)
    while len(text.encode()) > LIMIT:
        if not _shorten(reports):
            reports[0].files.problems.append(f'This page takes more than {size_text(LIMIT)}.')
            text = _render(shown)
            break
        text = _render(shown)
    write_text(out, text)
    return out


def _named(folders: Sequence[Path]) -> list[RunFolder]:
    """Return work folders under names that tell them apart; of a single one with that above it."""
    paths = [folder.resolve() for folder in folders]
    above = os.path.commonpath([path.parent for path in paths])
    if len(paths) == 1:
        above = os.path.dirname(above)
    return [
        RunFolder(folder, printable(os.path.relpath(path, above)))
        for folder, path in zip(folders, paths, strict=True)
    ]


def _shorten(reports: Sequence[RunReport]) -> bool:
    """Leave out the last frame of each run, then the largest chart; tell whether there were any."""
    framed = [report for report in reports if report.frames and report.frames.shown]
    for report in framed:
        del report.frames.shown[-1]
        report.frames_cut += 1
    if framed:
        return True
    charts = [
        (len(chart.svg), report, kept, i)
        for report in reports
        for kept in (report.charts, report.confusions)
        for i, chart in enumerate(kept)
    ]
    if not charts:
        return False
    _, report, kept, i = max(charts, key=itemgetter(0))
    del kept[i]
    report.charts_cut += 1
    return True


def _report(run: RunFolder, all_runs: Sequence[RunFolder], predict: bool) -> RunReport:
    frames = predict_frames(run) if predict else None
    compared = frames and frames.comparison
    others = [other for other in all_runs if other is not run]
    scores = class_scores(run, others, compared)
    found = RunReport(run, frames, statements(run, scores), scores)
    drawn = (
        draw(run)
        for draw in (
            correction_plots.timeline,
            correction_plots.mended_and_spoilt,
            correction_plots.label_agreement,
        )
    )
    found.coverage = confidence_plots.coverage(run)
    found.calibration = confidence_plots.calibration_sentences(run)
    found.charts = [chart for chart in drawn if chart]
    if frames:
        found.confusions = [
            plots.confusion(counts, frames.classes, f'{name} model, {frames.total} frames')
            for name, counts in frames.confusions.items()
        ]
    return found


def _shown(reports: Sequence[RunReport]) -> dict[str, object]:
    """Return what the template shows."""
    runs = [report.files for report in reports]
    by_class = {r.files.name: r.classes.rows for r in reports if r.classes}
    curves = (plots.score_curve(runs), plots.loss_curves(runs))
    return {
        'runs': reports,
        'title': ', '.join(run.name for run in runs[:3]) + (', ...' if len(runs) > 3 else ''),
        'curves': [chart for chart in curves if chart],
        'differences': plots.class_differences(by_class),
        'classes': list(dict.fromkeys(name for rows in by_class.values() for name in rows)),
        'facts': [facts_of(run) for run in runs],
        'changes': [config_changes(run) for run in runs],
    }


def _beginning() -> bytes:
    """Return how each page begins, up to its title."""
    source, *_ = _LOADER.get_source(jinja2.Environment(), 'page.html')
    return source[source.index('<!doctype') : source.index('{{ title }}')].encode()


def _render(shown: Mapping[str, object]) -> str:
    environment = jinja2.Environment(
        loader=_LOADER, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {'number': _number, 'signed': _signed, 'cell': _cell}
    style, script = (
        Markup(_LOADER.get_source(environment, name)[0]) for name in ('style.css', 'script.js')
    )
    return environment.get_template('page.html').render(shown, style=style, script=script)


def _number(value: object, digits: int = 2) -> str:
    return f'{value:.{digits}f}' if isinstance(value, int | float) else '-'


def _signed(value: object) -> str:
    return f'{value:+.2f}' if isinstance(value, int | float) else '-'


def _cell(value: object) -> str:
    if value is None or value == '':
        return '-'
    return f'{value:.4g}' if isinstance(value, float) else str(value)
