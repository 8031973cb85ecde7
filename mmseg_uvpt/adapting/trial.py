"""What an adaptation will cost, by a few iterations and predictions that are timed."""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import torch
from mmengine.device import get_device

from mmseg_uvpt.adapting import PUBLISHED
from mmseg_uvpt.adapting.adaptation_plan import Plan
from mmseg_uvpt.adapting.command_stages import Command, run_command
from mmseg_uvpt.adapting.config import ADAPTATION, LABELS
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference.images import write_prediction
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.inference.target_images import REDUCTION
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import size_text
from mmseg_uvpt.free_memory import free_memory
from mmseg_uvpt.report.run_folder import RunFolder

TRIAL = 'trial'  # in the name of its folder
_ITERATIONS, _PHOTOGRAPHS = 3, 4
_JUDGED, _VIEWS = 64, 16  # images of the selection; predictions of each of the source model


@dataclass(frozen=True)
class Costs:
    """What was measured of a plan.

    Attributes:
        iteration: seconds of one, the first one left out.
        photograph: seconds of a prediction, and writing it.
        start: seconds from the command to the first iteration.
        memory: bytes of main memory that the training and its workers take, without `judged`, of
            which there are two while a candidate is judged.
        gpu_memory: bytes that its tensors take on a GPU; None without one.
        training_state: bytes of a checkpoint of the training.
        model: bytes of the source model's file.
        prediction: bytes that the two files of a prediction take.
        judged: bytes of the probabilities of all images that candidates are judged by.
    """

    iteration: float
    photograph: float
    start: float
    memory: int
    gpu_memory: int | None
    training_state: int
    model: int
    prediction: int
    judged: int

    def seconds(self, plan: Plan, photographs: int, labelled: int) -> dict[str, float]:
        """Return about how long the parts of the work take.

        Args:
            plan: that was tried.
            photographs: how many are used.
            labelled: how many there are to score with.
        """
        candidates = 2 + plan.iterations // plan.interval
        judged = min(_JUDGED, photographs) * (_VIEWS + candidates) + min(240, photographs)
        before = photographs if plan.method == PUBLISHED else 0
        return {
            'adapting': self.start + self.iteration * plan.iterations,
            'choosing': self.photograph * (judged + labelled * candidates),
            'predicting': 3 * self.start + self.photograph * (photographs + before + 2 * labelled),
        }

    def disk(self, photographs: int) -> int:
        """Return about how many bytes the folder takes.

        Two copies of the source model, the last two checkpoints and one that is being written,
        candidates with up to four sums of what they say, and predictions.
        """
        states = 2 * self.model + 7 * self.training_state + 4 * self.judged
        return states + photographs * self.prediction

    def rows(self, plan: Plan, photographs: int, labelled: int, folder: Path) -> Iterator[tuple]:
        """Yield what it takes beside what there is, and whether that is enough."""
        parts = self.seconds(plan, photographs, labelled)
        told = ', '.join(f'{name} {duration(seconds)}' for name, seconds in parts.items())
        yield 'time', f'about {duration(sum(parts.values()))}', told, True
        needs = [
            ('memory', self.memory + 2 * self.judged, free_memory(torch.device('cpu'))),
            ('disk', self.disk(photographs), shutil.disk_usage(folder).free),
        ]
        if self.gpu_memory:
            needs.append(('GPU memory', self.gpu_memory, free_memory(torch.device(get_device()))))
        for name, needed, free in needs:
            yield name, size_text(needed), f'{size_text(free)} are free', needed < free


def try_plan(
    plan: Plan,
    folder: Path,
    checkpoint: Path,
    root: Path,
    photographs: Sequence[str],
    classes: int,
) -> Costs:
    """Adapt for three iterations and predict four photographs, through the scripts that will do it.

    Args:
        plan: of which ``folder`` has the config.
        folder: takes what is written, for as long as it is needed.
        checkpoint: the source model.
        root: folder of the photographs.
        photographs: their names.
        classes: how many the model has.

    Raises:
        UserError: the model cannot be adapted or predict so.
    """
    step = max(1, len(photographs) // _PHOTOGRAPHS)
    some = [*photographs[::step][:_PHOTOGRAPHS]]
    config = folder / ADAPTATION
    with TemporaryDirectory(prefix=f'.{TRIAL}.', dir=folder) as made:
        photograph, prediction = _predict(config, checkpoint, [root / name for name in some], made)
        work, log = Path(made, 'work'), Path(made, 'log')
        commands = [*_commands(plan, _config_of(some, Path(made)), checkpoint, work)]
        begin = time.monotonic()
        peak, status = _peak_memory(lambda: _run_quietly(commands, log))
        wall = time.monotonic() - begin
        if status:
            raise UserError(f'the model cannot be adapted so: {_reason(log, status)}')
        times, gpu_memory = _logged(work)
        iteration = (times[-1] * _ITERATIONS - times[0]) / (_ITERATIONS - 1)
        state = next(work.glob('iter_*.pth')).stat().st_size
    return Costs(
        iteration=iteration,
        photograph=photograph,
        judged=_judged_bytes(plan, classes, len(photographs)),
        start=max(0.0, wall - _ITERATIONS * iteration),
        memory=peak,
        gpu_memory=gpu_memory,
        training_state=state,
        model=checkpoint.stat().st_size,
        prediction=prediction,
    )


def _config_of(photographs: Sequence[str], folder: Path) -> Path:
    """Write a config that adapts to a few photographs, three iterations and no selection.

    A file, because paths may hold what options on a command line are split at.
    """
    names, config = folder / 'photographs.txt', folder / 'trial.py'
    names.write_text('\n'.join(photographs))
    data = {'dataset': {'ann_file': str(names)}}
    entries = {
        **{'train_dataloader': data, 'target_train_dataloader': data},
        'train_cfg': {'max_iters': _ITERATIONS},
        'default_hooks': {'logger': {'interval': 1}, 'selection': None, 'renewal': None},
    }
    lines = (f'{key} = {value!r}' for key, value in entries.items())
    config.write_text('\n'.join([f"_base_ = '../{ADAPTATION}'", *lines]))
    return config


def _commands(plan: Plan, config: Path, checkpoint: Path, work: Path) -> Iterator[Command]:
    """Yield what adapts to a few photographs: pseudo labels if the method wants them, a training.

    Args:
        plan: that is tried.
        config: of the trial.
        checkpoint: the source model.
        work: folder of the training; labels go beside it.
    """
    training = ('train.py', str(config), '--work-dir', str(work), '--no-validate')
    if plan.method == PUBLISHED:
        labels = str(work.with_name(LABELS))
        yield (
            *('generate_pseudo_label.py', '--config', str(config), '--checkpoint', str(checkpoint)),
            *('--pseudo_label_dir', labels),
        )
        training = (*training, '--pseudo-label-dir', labels)
    yield training


def _reason(log: Path, status: int) -> str:
    """Return why a trial failed, as far as it said so."""
    if status < 0:
        return (
            f'{signal.Signals(-status).name} ended it, as the system does where memory does not '
            'suffice. Smaller crops (--crop W H) and --batch-size 1 take less'
        )
    text = log.read_text(errors='replace').strip().splitlines() or [f'exit status {status}']
    reason = next((t for t in reversed(text) if t.startswith('error: ')), text[-1])
    return reason.removeprefix('error: ')


def _judged_bytes(plan: Plan, classes: int, photographs: int) -> int:
    """Return the bytes of the probabilities of all images that candidates are judged by."""
    width, height = (side // REDUCTION for side in plan.size)
    return min(_JUDGED, photographs) * classes * width * height * 4


def duration(seconds: float) -> str:
    """Return seconds in words."""
    if seconds < 90:
        return f'{max(1, round(seconds))} s'
    return f'{seconds / 60:.0f} min' if seconds < 5400 else f'{seconds / 3600:.1f} h'


def _predict(
    config: Path, checkpoint: Path, photographs: Sequence[Path], folder: str
) -> tuple[float, int]:
    """Predict and write photographs; return seconds and bytes of one, the first one left out."""
    predictor = Predictor(read(config), checkpoint)
    begin = time.monotonic()
    for number, result in enumerate(predictor.results(photographs)):
        write_prediction(result, Path(folder, str(number)))
        if number == 0 and len(photographs) > 1:
            begin = time.monotonic()
    seconds = (time.monotonic() - begin) / max(1, len(photographs) - 1)
    sizes = sum(path.stat().st_size for path in Path(folder).glob('*.png'))
    return seconds, sizes // len(photographs)


def _run_quietly(commands: Sequence[Command], log: Path) -> int:
    with log.open('wb') as file:
        statuses = (run_command(command, file, subprocess.STDOUT) for command in commands)
        return next(filter(None, statuses), 0)


def _logged(work: Path) -> tuple[list[float], int | None]:
    """Return the mean seconds up to each iteration, and the bytes that a GPU's tensors took."""
    found = [entry for entry in RunFolder(work, work.name).logged if 'time' in entry]
    memory = max((entry.get('memory', 0) for entry in found), default=0)
    return [entry['time'] for entry in found], memory * 2**20 or None


def _peak_memory(work: Callable[[], int]) -> tuple[int, int]:
    """Return the most main memory that processes started by ``work`` took, and what it returns."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.2):
            peak = max(peak, sum(map(_own_memory, psutil.Process().children(recursive=True))))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return_value = work()
    finally:
        done.set()
        watcher.join()
    return peak, return_value


def _own_memory(process: psutil.Process) -> int:
    """Return the bytes of a process, what several share divided among them."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:  # it has ended
        return 0
