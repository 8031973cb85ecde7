"""Every place of the software that writes files, as a function that writes to a folder.

`test_disk_full.py` lets each run out of space. To add a place, add a `Writer` to `WRITERS`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import raw_labels
import readers
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_uvpt import tables
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.correction.label_bank import LabelBank
from mmseg_uvpt.correction.record import CorrectionRecord
from mmseg_uvpt.correction.rule import Decision
from mmseg_uvpt.datasets.cache_entries import write_entry
from mmseg_uvpt.datasets.conversion.convert import convert_data_set
from mmseg_uvpt.datasets.layouts import GTA
from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeFileBackend
from mmseg_uvpt.engine.inference.label_report import LabelReport
from mmseg_uvpt.engine.inference.prediction_files import PredictionFilesHook
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.files import write_json, write_png, write_whole
from mmseg_uvpt.minicity import production
from mmseg_uvpt.selection.candidate_files import CandidateFiles
from mmseg_uvpt.sweep.attempt import Attempt

PAGE = f'# Page\n\n{tables.BEGIN.format("x.py")}\n{tables.END}\n\n{"The rest of it. " * 20}\n'


@dataclass(frozen=True)
class Writer:
    """A place that writes.

    Attributes:
        name: for people.
        write: writes into a folder; a second call, with 2, writes what differs from the first.
        appends: files that grow; what was in them stays, half a line may follow it.
    """

    name: str
    write: Callable[[Path, int], object]
    appends: tuple[str, ...] = ()


def _noise(number: int, size: int = 20_000) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, size).astype(np.uint8)


def _checkpoint(suffix: str) -> Callable[[Path, int], None]:
    def write(folder: Path, number: int) -> None:
        tensors = {'a.weight': torch.from_numpy(_noise(number))}
        write_file({'meta': {}, 'state_dict': tensors}, folder / f'model{suffix}')

    return write


def _bank(folder: Path, number: int) -> None:
    labels = [np.full((40, 50), 2, np.uint8)] * 2
    sizes = [label.shape for label in labels]
    LabelBank.create(folder / f'bank{number}', readers.IDENTITY, sizes, labels).close()


def _labelling(folder: Path, number: int) -> None:
    """Label a frame as `label_target` does."""
    facts = {'checkpoint_sha256': 'a', 'checkpoint': 'x.pth', 'command': 'python ' * 20}
    label = (_noise(number, 2400) % 2).reshape(40, 60)
    with readable_failures(str(folder)):
        report = LabelReport(folder, ('road', 'car'), facts, force=False)
        report.begin(anew=False)
        report.add_confidence(f'{number}.png', Path(__file__), label, np.full(label.shape, 0.5))
        write_png(folder / f'{number}.png', label)
        report.add_label(label)
        report.end()


def _record(folder: Path, number: int) -> None:
    record = CorrectionRecord(folder, ('road', 'car'))
    if number == 1:
        record.begin()
    decision = Decision(point=np.array([0.5, 0.25]), started=[], stopped=[])
    for i in range(40):
        record.pixels_changed[:] = 5
        record.decided(100 * number + i, decision, np.array([True, False]), np.array([0.5, 0.5]))


def _conversion(folder: Path, number: int) -> None:
    (folder / 'labels').mkdir(exist_ok=True)
    for i in range(2):
        raw = folder.parent / f'raw/{i}.png'  # where there is space
        if not raw.exists():
            raw_labels.write_gta(raw, readers.IDS)
        link = folder / f'labels/{i}.png'
        if i < number and not link.is_symlink():
            link.symlink_to(raw)
    report = convert_data_set(GTA, folder, nproc=1)
    assert not report.errors


def _demo_data(folder: Path, number: int) -> None:
    production.produce(folder, number, 0, seed=0, nproc=1, force=False)


class Frames(list):
    """Stands for a data set."""

    get_data_info = list.__getitem__


def _predictions(folder: Path, number: int) -> None:
    palette = [[i, i, i] for i in range(256)]
    frame = {'img_path': f'/images/{number}.png'}
    sample = SegDataSample(metainfo=frame)
    dataset = Frames([frame])
    dataset.metainfo, dataset.data_prefix = {'palette': palette}, {'img_path': '/images'}
    label = torch.from_numpy(_noise(1).reshape(1, 100, -1)).long()
    sample.pred_sem_seg = PixelData(data=label)
    runner = SimpleNamespace(test_dataloader=SimpleNamespace(dataset=dataset))
    hook = PredictionFilesHook(folder, {'checkpoint_sha256': 'a', 'checkpoint': 'x.pth'})
    hook.before_test_epoch(runner)
    hook.after_test_iter(runner, 0, None, [sample])
    hook.after_test_epoch(runner)


def _provenance(folder: Path, number: int) -> None:
    cfg = Config({'model': {'type': 'Nothing', 'depth': number}})
    provenance.write(folder, cfg, {'command': 'python ' * 20})


def _attempt(folder: Path, number: int) -> None:
    command = [sys.executable, '-c', f'"{number * "a long argument "}"']
    job = SimpleNamespace(done=lambda: False, folder=folder / 'job', command=lambda: command)
    Attempt(job).wait()


def _table(folder: Path, number: int) -> None:
    page = folder / 'README.md'
    if not page.exists():
        page.write_text(PAGE)
    tables.update_page(page, f'| {number} |\n', 'x.py')


def _file(name: str, data: Callable[[int], bytes]) -> Callable[[Path, int], None]:
    def write(folder: Path, number: int) -> None:
        with write_whole(folder / name) as file:
            file.write(data(number))

    return write


WRITERS = (
    Writer('checkpoint of a training', lambda f, n: WholeFileBackend().put(
        _noise(n).tobytes(), f / 'iter_2.pth')),
    Writer('exported checkpoint, .pth', _checkpoint('.pth')),
    Writer('exported checkpoint, .safetensors', _checkpoint('.safetensors')),
    Writer('label bank', _bank),
    Writer('candidate of a selection', lambda f, n: CandidateFiles(f).save(
        1, {'weight': torch.from_numpy(_noise(n))}, [])),
    Writer('pseudo label, report and journal', _labelling,
           appends=('pseudo_label_confidences.jsonl',)),
    Writer('label correction tables', _record,
           appends=('label_correction.csv', 'label_correction_curve.csv')),
    Writer('image cache', lambda f, n: write_entry(
        f / f'entry{n}', ('image', n), {'img': _noise(n)})),
    Writer('converter and its statistics', _conversion),
    Writer('demo data', _demo_data),
    Writer('sheet of images', lambda f, n: write_png(
        f / 'sheet.png', _noise(n, 19_200).reshape(80, 80, 3))),
    Writer('coloured predictions', _predictions),
    Writer('JSON result', lambda f, n: write_json(f / 'score.json', {'IoU': [n] * 500})),
    Writer('config, environment and record of a run', _provenance),
    Writer('job.json and job.log of a sweep', _attempt, appends=('job/job.log',)),
    Writer('table of results in a page', _table),
    Writer('table of results in a file', _file('table.csv', lambda n: b'1,2\n' * 500 * n)),
)  # fmt: skip
