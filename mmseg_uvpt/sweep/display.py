"""Tables of jobs on the console, and the screen that shows them at work."""

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.subcommands import as_typed
from mmseg_uvpt.sweep.jobs import Job, shown
from mmseg_uvpt.sweep.models import MISSING
from mmseg_uvpt.sweep.scores import metrics_of, score_of
from mmseg_uvpt.sweep.status import LACKING, State, Status

_STYLES = {
    State.MISSING: 'yellow',
    State.RUNNING: 'cyan',
    State.FAILED: 'red',
    State.DONE: 'green',
}
_WIDE = 2000  # columns of a table that goes to a file or a pipe, where nothing is folded
_SILENCE = 60  # seconds between two lines about the same progress


def console() -> Console:
    """Return the console; wide where nobody's window limits it."""
    return Console() if sys.stdout.isatty() else Console(width=_WIDE, force_terminal=False)


def job_table(statuses: Mapping[Job, Status]) -> Table:
    """Return the job list: rows with model, what they need and make, state and score."""
    table = Table(box=None, pad_edge=False, header_style='bold')
    names = ('job', 'method', 'backbone', 'source', 'model', 'needs', 'makes', 'state', 'score', '')
    for name in names:
        table.add_column(name, overflow='fold')
    for job, status in statuses.items():
        row = job.row
        described = (job.name, row.method, row.backbone, row.source)
        table.add_row(
            *map(Text, (*described, *_inputs_and_result(job, status.state))),
            Text(status.state.value, _STYLES.get(status.state, '')),
            *map(Text, (score_text(job), as_typed(status.note))),
        )
    return table


def _inputs_and_result(job: Job, state: State) -> tuple[str, str, str]:
    """Return which model a job has, what it needs and what it makes; '?' if its config is wrong."""
    try:
        model = job.model
        origin = model.origin if model else '-'
        if model and model.why and state is not State.DONE:
            origin = MISSING
        return origin, shown(job.needs) if job.needs else '-', shown(job.makes)
    except (UserError, *LACKING):
        return '?', '?', '?'


def score_text(job: Job) -> str:
    """Return a job's score in percent, such as ``50.5``, or ``44.6 / 49.8`` over 16 and 13."""
    try:
        score = score_of(job)
        return ' / '.join(f'{score[m]:.1f}' for m in metrics_of(job.cfg) if m in score)
    except (UserError, OSError, *LACKING):  # said by its status
        return ''


class Screen:
    """Shows a sweep at work: one table on a terminal, plain lines elsewhere."""

    def __init__(self):
        self._shown: dict[Job, Status] = {}
        self._said: dict[Job, float] = {}
        self._console = console()
        # no thread of its own: a script may only be started by a process that has one
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._draws = self._console.is_terminal and not self._console.is_dumb_terminal

    def __enter__(self) -> 'Screen':
        if self._draws:
            self._live.start()
        return self

    def __exit__(self, *_) -> None:
        self._live.stop()

    def update(self, statuses: Mapping[Job, Status]) -> None:
        """Show the present statuses."""
        if self._draws:
            self._live.update(_overview(statuses), refresh=True)
            return
        for job, status in statuses.items():
            before = self._shown.get(job)
            moved = before is None or before.state is not status.state
            waited = time.monotonic() - self._said.get(job, 0) > _SILENCE
            if moved or (status.state is State.RUNNING and status != before and waited):
                self._said[job] = time.monotonic()
                self._shown[job] = status
                note = f': {status.note}' if status.note else ''
                print(
                    time.strftime('%H:%M:%S'),
                    job.name,
                    status.state.value + as_typed(note),
                    flush=True,
                )

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _overview(statuses: Mapping[Job, Status]) -> Table:
    states = [status.state for status in statuses.values()]
    count = ', '.join(f'{states.count(s)} {s.value}' for s in State if s in states)
    table = Table(box=None, pad_edge=False, title=count, title_justify='left')
    for column in ('job', 'state', ''):
        table.add_column(column, no_wrap=column != '')
    # what moves comes first: a terminal may have fewer lines than there are jobs
    order = (State.RUNNING, State.FAILED, State.QUEUED, State.READY, State.MISSING, State.DONE)
    for job, status in sorted(statuses.items(), key=lambda entry: order.index(entry[1].state)):
        last = status.note.splitlines()[-1:] if status.state is not State.MISSING else []
        style = _STYLES.get(status.state, '')
        table.add_row(Text(job.name), Text(status.state.value, style), Text(''.join(last)))
    return table
