"""Where, when and how long a run ran, and of what it was made."""

import statistics

from mmseg_uvpt.engine.work_folder.hours_and_hardware import hardware, hours_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.report.run_folder import RunFolder


def facts_of(run: RunFolder) -> dict[str, object]:
    """Return environment, hardware and hours of a run, in the order of the page."""
    start, record = run.start, run.record
    times = [x['time'] for x in run.logged if {'iter', 'time'} <= x.keys()]  # of no evaluation
    git, environment = start.get('git') or {}, run.environment
    found = {
        'command': start.get('command'),
        'started': start.get('started'),
        'finished': record.get('finished'),
        'starts': len(record.get('starts') or ()) or None,
        'hours': _hours(run),
        'seconds an iteration, median': statistics.median(times) if times else None,
        'iterations': record.get('iterations'),
        'hardware': _hardware(run),
        'seed': start.get('seed'),
        'git': git.get('commit') and git['commit'] + (' and changes' if git.get('dirty') else ''),
        'parameters': (start.get('parameters') or {}).get('total'),
        'of these trained': (start.get('parameters') or {}).get('trainable'),
    }
    shown = ('host', 'platform', 'Python', 'PyTorch', 'CUDA available', 'mmseg_uvpt', 'timm')
    return found | {name: environment.get(name) for name in shown}


def _hours(run: RunFolder) -> float | None:
    try:
        is_training = run.place == run.folder and run.record
        return hours_of(run.folder, run.record) if is_training else None
    except UserError:  # run.json is damaged
        return None


def _hardware(run: RunFolder) -> str | None:
    try:
        return hardware(run.folder)
    except UserError:  # environment.json is damaged, which the page says
        return None
