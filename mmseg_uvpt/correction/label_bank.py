"""The label bank: current labels of all target images, and what was last predicted of them."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmseg_uvpt.correction.identity import BankIdentity
from mmseg_uvpt.correction.layout import (
    CONFIDENCES,
    DTYPES,
    INDEX,
    INDEX_COLUMNS,
    LABELS,
    PREDICTIONS,
    BankLayout,
    Size,
)
from mmseg_uvpt.correction.thresholds import ConfidenceHistogram
from mmseg_uvpt.correction.undo import UndoLog
from mmseg_uvpt.datasets.label_encodings import IGNORE
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import (
    allocate,
    empty_part,
    open_mapped,
    read_json,
    release,
    size_text,
    why_unreadable,
    write_json,
)

META = 'meta.json'


class Box(NamedTuple):
    """Part of a frame in pixels; bottom and right are exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def size(self) -> Size:
        return self.bottom - self.top, self.right - self.left


class Kept(NamedTuple):
    """The last prediction of an image, in the frame as it is (not flipped).

    Attributes:
        box: where the crop was.
        prediction: (H, W) uint8 classes.
        confidence: (H, W) float16 in 0..1.
    """

    box: Box
    prediction: np.ndarray
    confidence: np.ndarray


class LabelBank:
    """Labels, predictions and confidences of a data set, in memory-mapped files.

    On disk Cityscapes takes 3.9 GB (`BankLayout` has the sum). Resident are the counts of the
    confidences (2.3 MB), the index (0.1 MB) and, during a call, the pages of one image (3 MB).
    Every change of the files goes through `write_label` and `keep`.

    Args:
        folder: an existing bank.
        identity: what the bank must belong to.
        iterations: of the checkpoint that the bank is taken back to; None leaves it as it is.
        moved: accept another folder of pseudo labels, which are in the bank already.

    Attributes:
        undo: remembers what changes overwrite, once a checkpoint was begun there.
        taken_back: whether the log of the changes since that checkpoint was there.

    Raises:
        UserError: the bank is missing, damaged, or belongs to something else.
    """

    def __init__(
        self,
        folder: Path,
        identity: BankIdentity,
        iterations: int | None = None,
        moved: bool = False,
    ) -> None:
        self.folder = folder
        saved, frame_sizes = _read_meta(folder)
        identity.check_same(saved, folder, moved)
        self.layout = BankLayout(frame_sizes, identity.crop_size)
        for name, size in self.layout.file_bytes.items():
            found = (folder / name).stat().st_size if (folder / name).is_file() else 'no file'
            if found != size:
                raise _damaged(folder, f'{name} has {found} instead of {size} bytes')
        self._files = {name: open_mapped(folder / name, DTYPES[name]) for name in DTYPES}
        self._index = self._files[INDEX].reshape(-1, INDEX_COLUMNS)
        self.undo = UndoLog(folder, self._files)
        self.taken_back = iterations is not None and self.undo.roll_back(iterations)
        self._histogram = ConfidenceHistogram(identity.num_classes)
        try:
            self._check_labels(identity.num_classes)
            for kept in filter(None, map(self.kept, range(len(self)))):
                self._histogram.add(kept.prediction, kept.confidence)
        except ValueError as error:
            raise _damaged(folder, str(error)) from error

    @classmethod
    def create(
        cls,
        folder: Path,
        identity: BankIdentity,
        frame_sizes: Sequence[Size],
        labels: Iterable[np.ndarray],
    ) -> 'LabelBank':
        """Make a bank, whole or not at all, and open it.

        Args:
            folder: must not exist; its parent is created if need be.
            identity: what the bank belongs to.
            frame_sizes: (height, width) of each frame.
            labels: (height, width) uint8 labels of each frame, in the same order.

        Raises:
            UserError: it cannot be written; nothing is left behind.
        """
        layout = BankLayout(frame_sizes, identity.crop_size)
        part = empty_part(folder)
        try:
            part.mkdir(parents=True)
            for name, size in layout.file_bytes.items():
                allocate(part / name, size)
            _fill(part, layout, labels)
            sizes = [list(size) for size in frame_sizes]
            write_json(part / META, {'identity': identity.as_json(), 'frame_sizes': sizes})
            os.rename(part, folder)
        except OSError as error:
            needed = size_text(sum(layout.file_bytes.values()))
            raise UserError(
                f'cannot write the label bank {folder} ({needed}): {error.strerror}. Free '
                'some space or choose another --work-dir, then run the same command again.'
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cls(folder, identity)

    def __len__(self) -> int:
        return len(self.layout.frame_sizes)

    @property
    def iteration(self) -> int:
        """The last iteration whose predictions were kept, -1 before the first."""
        return int(self._index[:, 4].max())

    def read_label(self, i: int, box: Box) -> np.ndarray:
        """Return a copy of the labels of frame ``i`` within ``box``: (H, W) uint8."""
        label = self._frame(i, box)[box.top : box.bottom, box.left : box.right].copy()
        release(self._files[LABELS])
        return label

    def write_label(self, i: int, box: Box, label: np.ndarray) -> None:
        """Replace the labels of frame ``i`` within ``box``."""
        frame = self._frame(i, box)
        self.undo.save(LABELS, *self.layout.label_offsets[i : i + 2].tolist())
        frame[box.top : box.bottom, box.left : box.right] = label
        release(self._files[LABELS])

    def kept(self, i: int) -> Kept | None:
        """Return what was last kept of frame ``i``, copied; None if nothing was."""
        box = self._kept_box(i)
        if box is None:
            return None
        arrays = [array.copy() for array in self._kept_arrays(i, box)]
        self._release_kept()
        return Kept(box, *arrays)

    def keep(self, i: int, iteration: int, kept: Kept) -> None:
        """Keep a prediction of frame ``i`` in place of the one before.

        Raises:
            ValueError: the box does not fit the frame or the arrays, or a value is out of range.
        """
        self._frame(i, kept.box)  # checks the box
        if not kept.box.size == kept.prediction.shape == kept.confidence.shape:
            raise ValueError(
                f'frame {i}: box {tuple(kept.box)}, prediction {kept.prediction.shape} and '
                f'confidence {kept.confidence.shape} differ in size'
            )
        before = self._kept_box(i)
        self.undo.save(INDEX, i * INDEX_COLUMNS, (i + 1) * INDEX_COLUMNS)
        if before:
            for name in (PREDICTIONS, CONFIDENCES):
                self.undo.save(name, *self.layout.kept_offsets[i : i + 2].tolist())
        self._histogram.add(kept.prediction, kept.confidence)
        if before:
            self._histogram.remove(*self._kept_arrays(i, before))
        arrays = self._kept_arrays(i, kept.box)
        for slot, array in zip(arrays, (kept.prediction, kept.confidence), strict=True):
            slot[:] = array
        self._release_kept()
        self._index[i] = (*kept.box, iteration)

    def thresholds(self, quantile: float) -> np.ndarray:
        """Return each class's quantile of all kept confidences: (C,) float32, see `quantile`."""
        return self._histogram.quantiles(quantile)

    def flush(self) -> None:
        """Wait until all changes are on the disk."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Flush and let go of the files."""
        self.flush()
        self.undo.close()
        del self._index, self._files, self.undo

    def _check_labels(self, num_classes: int) -> None:
        """Raise a ValueError if a label is no class; the loss would fail on it much later."""
        allowed = np.isin(np.arange(256), [*range(num_classes), IGNORE])
        for i, (height, width) in enumerate(self.layout.frame_sizes):
            if not allowed[self.read_label(i, Box(0, height, 0, width))].all():
                raise ValueError(f'{LABELS} holds a value that is no class, in frame {i}')

    def _frame(self, i: int, box: Box) -> np.ndarray:
        height, width = self.layout.frame_sizes[i]
        if not (0 <= box.top < box.bottom <= height and 0 <= box.left < box.right <= width):
            raise ValueError(f'box {tuple(box)} is outside of frame {i}, {height} x {width}')
        start, end = self.layout.label_offsets[i : i + 2]
        return self._files[LABELS][start:end].reshape(height, width)

    def _kept_box(self, i: int) -> Box | None:
        """Return which part of frame ``i`` was last predicted."""
        *corners, iteration = self._index[i].tolist()
        if corners == [-1] * 4 and iteration == -1:
            return None
        if iteration < 0:
            raise ValueError(f'{INDEX} holds iteration {iteration} for frame {i}')
        box = Box(*corners)
        self._frame(i, box)  # checks the box
        return box

    def _kept_arrays(self, i: int, box: Box) -> list[np.ndarray]:
        """Return where prediction and confidence of a box of frame ``i`` lie in the files."""
        start, end = self.layout.kept_offsets[i : i + 2]
        height, width = box.size
        if height * width > end - start:
            raise ValueError(f'a crop of {height} x {width} is larger than {end - start} pixels')
        part = slice(start, start + height * width)
        return [
            self._files[name][part].reshape(height, width) for name in (PREDICTIONS, CONFIDENCES)
        ]

    def _release_kept(self) -> None:
        for name in (PREDICTIONS, CONFIDENCES):
            release(self._files[name])


def _fill(part: Path, layout: BankLayout, labels: Iterable[np.ndarray]) -> None:
    file = open_mapped(part / LABELS, DTYPES[LABELS])
    offsets = layout.label_offsets
    for start, end, label in zip(offsets[:-1], offsets[1:], labels, strict=True):
        file[start:end] = label.ravel()
        release(file)
    open_mapped(part / INDEX, DTYPES[INDEX])[:] = -1


def _read_meta(folder: Path) -> tuple[BankIdentity, list[Size]]:
    try:
        meta = read_json(folder / META)
        identity = BankIdentity.from_json(meta['identity'])
        frame_sizes = [(height, width) for height, width in meta['frame_sizes']]
        sides = [side for size in frame_sizes for side in size]
        if not all(type(side) is int and 0 < side < 1 << 20 for side in sides):
            raise ValueError('a size of a frame is no number of pixels')
    except OSError as error:
        raise _damaged(folder, f'{META} {why_unreadable(folder / META, error)}') from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(folder, f'{META}: {error}') from error
    if len(frame_sizes) != len(identity.frames):
        raise _damaged(folder, f'{META} has {len(frame_sizes)} sizes for {len(identity.frames)}')
    return identity, frame_sizes


def _damaged(folder: Path, reason: str) -> UserError:
    return UserError(
        f'the label bank {folder} is damaged: {reason}. The corrected labels in it are lost: '
        'start the run again in another --work-dir.'
    )
