"""What a run was made with: environment, resolved config, git revision, seed, command."""

import datetime
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook

from mmseg_uvpt.acceleration.accelerate import Change
from mmseg_uvpt.engine.training.parameter_counts import parameter_counts
from mmseg_uvpt.engine.work_folder.claim import CONFIG, ENVIRONMENT, RUN, run_record_of
from mmseg_uvpt.environment import environment, git_revision
from mmseg_uvpt.files import file_hash, write_json, write_text
from mmseg_uvpt.model_wrappers import without_wrapper


def of_predictions(cfg: Config, checkpoint: str | Path, command: str) -> dict:
    """Return the facts that stand beside the predictions of a model."""
    return {
        'config': str(cfg.filename),
        'checkpoint': str(checkpoint),
        'checkpoint_sha256': file_hash(checkpoint),
        'command': command,
        'git': git_revision(),
        'environment': environment(),
    }


def now() -> str:
    """Return the local time as text, to the second, with its offset."""
    return datetime.datetime.now().astimezone().isoformat(timespec='seconds')


@master_only
def write(folder: str | Path, cfg: Config, start: dict) -> None:
    """Write ``environment.json``, ``config.py`` and ``run.json`` into a folder, each whole.

    Args:
        folder: of the run.
        cfg: resolved config.
        start: facts of this start of the run; ``run.json`` lists those of all starts, the first
            one and each ``--resume``.

    Raises:
        UserError: a file cannot be written.
    """
    folder = Path(folder)
    starts = run_record_of(folder).get('starts', [])
    write_json(folder / ENVIRONMENT, environment())
    write_text(folder / CONFIG, cfg.pretty_text)
    write_json(folder / RUN, {'starts': [*starts, start]})


class ProvenanceHook(Hook):
    """Writes the provenance once training really begins: data, model and labels have been found.

    A run that fails before that leaves its work folder free.

    Args:
        cfg: resolved config.
        command: the command line.
        checkpoint: what the run continues from; None from the beginning.
        changes: what `accelerate` did.
    """

    priority = 'LOWEST'

    def __init__(
        self, cfg: Config, command: str, checkpoint: Path | None, changes: Sequence[Change] = ()
    ):
        self.cfg = cfg
        self.command = command
        self.checkpoint = checkpoint
        self.changes = changes

    def before_train(self, runner) -> None:
        """Write the provenance into the work folder."""
        start = start_of(self.cfg, self.command, runner.seed)
        start['resumed_from'] = self.checkpoint and str(self.checkpoint)
        start['first_iteration'] = runner.iter
        start['parameters'] = parameter_counts(without_wrapper(runner.model))._asdict()
        start['acceleration'] = [change._asdict() for change in self.changes]
        write(runner.work_dir, self.cfg, start)

    @master_only
    def after_train(self, runner) -> None:
        """Note that the run is finished: its last evaluation has been made."""
        record = run_record_of(runner.work_dir)
        write_json(
            Path(runner.work_dir) / RUN, {**record, 'finished': now(), 'iterations': runner.iter}
        )


def start_of(cfg: Config, command: str, seed: int) -> dict:
    """Return the facts that ``run.json`` keeps of every start."""
    return {
        'started': now(),
        'command': command,
        'config': str(cfg.filename),
        'seed': seed,
        'git': git_revision(),
    }
