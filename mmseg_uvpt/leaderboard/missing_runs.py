"""Make the runs of which there is no record, one after the other, for some hours."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmseg_uvpt.adapting.command_stages import Stage, StageFailed, run_each
from mmseg_uvpt.demo import chain
from mmseg_uvpt.demo.settings import Settings
from mmseg_uvpt.errors import STOPPED, UserError
from mmseg_uvpt.file_lock import alone
from mmseg_uvpt.leaderboard.run_record import (
    SOURCE,
    path_of,
    require_same_source,
    run_record,
    source_record,
    write_record,
)
from mmseg_uvpt.report.correction_gain import correction_sentence

_CPU = Path('/proc/cpuinfo')
_WITHOUT_AVX512 = {
    **{'ATEN_CPU_CAPABILITY': 'avx2', 'ONEDNN_MAX_CPU_ISA': 'AVX2'},
    **{'MKL_ENABLE_INSTRUCTIONS': 'AVX2', 'OPENBLAS_CORETYPE': 'ZEN'},
    **{'NPY_DISABLE_CPU_FEATURES': 'X86_V4 AVX512_ICL', 'OPENCV_CPU_DISABLE': 'AVX512-SKX'},
}


def compute_alike() -> None:
    """Have what this process starts compute by one thread, and without AVX-512.

    A source model that is trained on another machine then has the same weights to the bit, and its
    runs can go on there. A variable of the environment that is set already stays.
    """
    wanted = {'OMP_NUM_THREADS': '1'}
    if _CPU.is_file() and 'avx512f' in _CPU.read_text():
        wanted |= _WITHOUT_AVX512
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def make_missing_runs(
    planned: Sequence[Settings], work_dir: Path, records: Path, hours: float
) -> int:
    """Make runs until the time is over: the one in progress then is finished.

    A run that fails is passed over, and so are all others of a source model that could not be made.
    What was interrupted goes on, and stages that are done are not done again.

    Args:
        planned: runs in their order.
        work_dir: of all of them.
        records: folder that keeps a small file of each finished run.
        hours: after which no run is begun; 0 only says which one is next.

    Returns:
        int: number of runs that failed.

    Raises:
        UserError: another process makes runs in the folder; or a run was told to stop.
    """
    missing = [run for run in planned if not path_of(records, run).is_file()]
    print(f'{len(planned) - len(missing)} of {len(planned)} runs are there', flush=True)
    if not hours:
        print(f'next: {_name(missing[0])}' if missing else 'all are there')
        return 0
    told = f'runs are being made in {work_dir}: wait, or name another --work-dir'
    with alone(work_dir / 'leaderboard.lock', told):
        return _make_each(missing, work_dir, records, hours)


def _make_each(missing: Sequence[Settings], work_dir: Path, records: Path, hours: float) -> int:
    begin, failed = time.monotonic(), []
    for number, run in enumerate(missing, 1):
        spent = (time.monotonic() - begin) / 3600
        print(f'next: {_name(run)} ({number} of {len(missing)}, {spent:.2f} of {hours:g} h)')
        if spent >= hours:
            return len(failed)
        root = work_dir / run.run_folder
        if any(other.run_folder == run.run_folder for other in failed) and not _has_source(root):
            print('passed over: its source model could not be made', flush=True)
            continue
        try:
            _make(run, root, records)
        except UserError as error:
            if isinstance(error, StageFailed) and (error.status == STOPPED or error.status < 0):
                raise  # somebody ended it
            failed.append(run)
            print(f'failed: {error}', flush=True)
        minutes = (time.monotonic() - begin) / 60 - spent * 60
        print(f'{_name(run)} took {minutes:.1f} minutes', flush=True)
    print(f'all runs were made, but for {len(failed)} that failed' if failed else 'all are there')
    return len(failed)


def _make(run: Settings, root: Path, records: Path) -> None:
    run_each(_stages(run, root, records), root, chain.stage_count(run))
    record = run_record(run, root)
    write_record(path_of(records, run), record)
    scores = ', '.join(f'{name} {score:.1f}' for name, score in record['mIoU'].items())
    print(f'mIoU: {scores}', correction_sentence(record['label_correction']), flush=True)


def _stages(run: Settings, root: Path, records: Path) -> Iterator[Stage]:
    """Yield the stages of a run, those that follow the source model only if it can be used."""
    path, kept = path_of(records, run, SOURCE), False
    if path.is_file() and not _has_source(root):
        print(
            f'{path} is of a source model that is not in {root}: the runs of this one are refused '
            'unless training it gives the same weights; --records DIR keeps them elsewhere'
        )
    for stage in chain.stages(run, root):
        if not kept and _has_source(root):
            _keep_source(run, root, records)
            kept = True
        yield stage


def _keep_source(run: Settings, root: Path, records: Path) -> None:
    path = path_of(records, run, SOURCE)
    if path.is_file():
        require_same_source(path, root)
    else:
        write_record(path, source_record(run, root))


def _has_source(root: Path) -> bool:
    return (root / 'done/test_source.json').is_file()


def _name(run: Settings) -> str:
    return f'{run.row} of {run.backbone}, seed {run.seed}'
