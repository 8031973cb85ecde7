"""A folder of MiniCity: which frames it holds, and how they get there."""

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_bytes, read_object, write_json
from mmseg_uvpt.minicity.looks import CITYSCAPES, GTA, SYNTHIA, Look
from mmseg_uvpt.minicity.renderer import render
from mmseg_uvpt.minicity.writing import WRITERS, polygon_path
from mmseg_uvpt.progress import progress

VERSION = 1  # raised whenever the same seed gives other frames
SETS = ('gta', 'synthia', 'cityscapes')
_SINCE_VERSION_1 = ('lamps', 'headlights', 'glow')  # of a look; recorded where they are on
_SETTINGS = 'minicity.json'
_STRIDE = 1_000_000  # frames between the sets' first indices: no street occurs twice
_PNG_END = b'IEND\xaeB`\x82'


@dataclass(frozen=True)
class Job:
    """One frame to write.

    Attributes:
        data_set: one of `SETS`; chooses the format.
        look: of the frame.
        seed, index: of the frame.
        image, label: where its files go.
    """

    data_set: str
    look: Look
    seed: int
    index: int
    image: Path
    label: Path

    def done(self) -> bool:
        """Whether all files of the frame are there and whole."""
        whole = _whole_png(self.image) and _whole_png(self.label)
        return whole and (self.data_set != 'cityscapes' or polygon_path(self.label).is_file())

    def run(self) -> None:
        """Render and write the frame; the image comes last, so that none is without label."""
        frame = render(self.seed, self.index, self.look)
        WRITERS[self.data_set](self.image, self.label, frame)


def produce(
    root: Path,
    train_frames: int,
    val_frames: int,
    seed: int,
    nproc: int,
    force: bool,
    target: Look = CITYSCAPES,
) -> tuple[int, int]:
    """Fill a folder with MiniCity, leaving alone the frames that are there.

    Args:
        root: data root that receives ``gta/``, ``synthia/``, ``cityscapes/``, ``minicity.json``.
        train_frames: frames of GTA's kind, of SYNTHIA's kind, and of Cityscapes' train split.
        val_frames: frames of Cityscapes' val split.
        seed: of the city.
        nproc: processes.
        force: delete another city's frames that are in the folder.
        target: look of Cityscapes' frames.

    Returns:
        Number of frames written and number of frames that were there.

    Raises:
        UserError: the folder holds another city and ``force`` is not set, or other data.
    """
    _claim(root, train_frames, val_frames, seed, force, target)
    jobs = list(plan(root, train_frames, val_frames, seed, target))
    open_jobs = [job for job in jobs if not job.done()]
    there = len(jobs) - len(open_jobs)
    shown = {'title': 'rendering', 'unit': 'frame', 'total': len(jobs), 'done': there}
    if nproc == 1:
        for job in progress(open_jobs, **shown):
            job.run()
    elif open_jobs:
        context = multiprocessing.get_context('spawn')
        with context.Pool(nproc, _start_worker) as pool:
            for _ in progress(pool.imap_unordered(Job.run, open_jobs, chunksize=4), **shown):
                pass
    return len(open_jobs), there


def plan(
    root: Path, train_frames: int, val_frames: int, seed: int, target: Look = CITYSCAPES
) -> Iterator[Job]:
    """Yield all frames of a folder."""
    for k in range(train_frames):
        image, label = (root / 'gta' / part / f'{k + 1:05d}.png' for part in ('images', 'labels'))
        yield Job('gta', GTA, seed, k, image, label)
    for k in range(train_frames):
        image, label = (root / 'synthia' / part / f'{k:07d}.png' for part in ('RGB', 'GT/LABELS'))
        yield Job('synthia', SYNTHIA, seed, _STRIDE + k, image, label)
    splits = (('train', 'minitown', train_frames), ('val', 'miniburg', val_frames))
    for number, (split, city, frames) in enumerate(splits, 2):
        for k in range(frames):
            stem = f'{split}/{city}/{city}_{k:06d}_000019'
            image = root / 'cityscapes/leftImg8bit' / f'{stem}_leftImg8bit.png'
            label = root / 'cityscapes/gtFine' / f'{stem}_gtFine_labelIds.png'
            yield Job('cityscapes', target, seed, number * _STRIDE + k, image, label)


def _claim(
    root: Path, train_frames: int, val_frames: int, seed: int, force: bool, target: Look
) -> None:
    """Write down what the folder holds, or refuse to mix it with what it holds already."""
    looks = {name: _recorded(look) for name, look in zip(SETS, (GTA, SYNTHIA, target), strict=True)}
    wanted = {
        'version': VERSION,
        'seed': seed,
        'train_frames': train_frames,
        'val_frames': val_frames,
        'looks': looks,
    }
    marker = root / _SETTINGS
    if not os.path.lexists(marker):
        strangers = [name for name in SETS if (root / name).exists()]
        if strangers:
            raise UserError(
                f'{root} holds {", ".join(strangers)} that are not MiniCity (no {_SETTINGS} beside '
                'them): name another folder, nothing was written'
            )
    else:
        held = read_object(marker, 'delete the folder and run the same command again')
        frames = ('train_frames', 'val_frames')
        grown = all(type(held.get(k)) is int and held[k] <= wanted[k] for k in frames)
        changed = [
            key
            for key in wanted
            if held.get(key) != wanted[key] and not (grown and 'frames' in key)
        ]
        if changed and not force:
            raise UserError(
                f'{root} holds another MiniCity ({_differences(changed, held, wanted)}): name '
                'another folder, or add --force to delete it with all that was made from it'
            )
        if force:
            for name in filter(os.path.lexists, (root / name for name in SETS)):
                if name.is_symlink():
                    raise UserError(f'{name} is a link: delete it and what it leads to, then again')
                shutil.rmtree(name)
    write_json(marker, wanted)


def _differences(changed: list[str], held: dict, wanted: dict) -> str:
    return ', '.join(
        'other looks' if key == 'looks' else f'{key} {held.get(key)}, not {wanted[key]}'
        for key in changed
    )


def _recorded(look: Look) -> dict:
    """Return a look as a record has it."""
    off = {name for name in _SINCE_VERSION_1 if not getattr(look, name)}
    plain = json.loads(json.dumps(asdict(look), default=sorted))  # sets
    return {name: value for name, value in plain.items() if name not in off}


def _whole_png(path: Path) -> bool:
    """Whether a file ends as a PNG ends."""
    try:
        return read_bytes(path).endswith(_PNG_END)
    except OSError:
        return False


def _start_worker() -> None:
    """One thread a process, and Ctrl-C is the parent's to handle."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
