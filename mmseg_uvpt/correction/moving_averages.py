"""Moving averages of what was predicted of each image, on the disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmseg_uvpt.correction.label_bank import Box
from mmseg_uvpt.correction.layout import Size
from mmseg_uvpt.correction.undo import UndoLog
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import allocate, open_mapped, release, size_text

FILE = 'averages.f16'


class MovingAverages:
    """Class probabilities of the frames of a data set, in one memory-mapped file.

    A frame has those of cells of ``stride`` x ``stride`` pixels, in float16; 0 where nothing was
    predicted yet. For the 2975 frames of Cityscapes, of 512 x 1024 pixels and 19 classes, stride 4
    (a cell a logit) makes 2975 * 19 * 128 * 256 * 2 bytes = 3.7 GB. A value a pixel would
    be 59 GB, and smooth within a cell all the same.

    Args:
        folder: holds the file.
        frame_sizes: (height, width) of each frame, in pixels.
        num_classes: number of classes C.
        stride: side of a cell, in pixels.
        iterations: of the checkpoint that they are taken back to; None leaves them as they are.

    Attributes:
        undo: remembers what changes overwrite, once a checkpoint was begun there.
        taken_back: whether the log of the changes since that checkpoint was there.

    Raises:
        UserError: the file is missing or has another size.
    """

    def __init__(
        self,
        folder: Path,
        frame_sizes: Sequence[Size],
        num_classes: int,
        stride: int,
        iterations: int | None = None,
    ) -> None:
        self._shapes = _shapes(frame_sizes, num_classes, stride)
        self._offsets = [0, *np.cumsum(np.prod(self._shapes, axis=1)).tolist()]
        self._stride = stride
        path = folder / FILE
        found = path.stat().st_size if path.is_file() else 'no file'
        if found != 2 * self._offsets[-1]:
            raise UserError(
                f'{path} is damaged: {found} instead of {2 * self._offsets[-1]} bytes. What was '
                'predicted before is lost: start the run again in another --work-dir.'
            )
        self._file = open_mapped(path, '<f2')
        self.undo = UndoLog(folder, {FILE: self._file})
        self.taken_back = iterations is not None and self.undo.roll_back(iterations)

    @classmethod
    def create(
        cls, folder: Path, frame_sizes: Sequence[Size], num_classes: int, stride: int
    ) -> 'MovingAverages':
        """Make the folder and its file, of zeros, and open it; see the class for the arguments.

        Raises:
            UserError: it cannot be written.
        """
        size = 2 * int(np.prod(_shapes(frame_sizes, num_classes, stride), axis=1).sum())
        try:
            folder.mkdir()
            allocate(folder / FILE, size)
        except OSError as error:
            raise UserError(
                f'cannot write {folder / FILE} ({size_text(size)}): {error.strerror}. Free some '
                'space or choose another --work-dir, then run the same command again.'
            ) from error
        return cls(folder, frame_sizes, num_classes, stride)

    def read(self, i: int, box: Box) -> np.ndarray:
        """Return a copy of what is kept of a crop of frame ``i``.

        A crop that begins within a cell is given the cells that are nearest.

        Args:
            i: number of the frame.
            box: of the crop, in pixels.

        Returns:
            (C, h, w) float16; h and w are those of the box divided by the stride, rounded up.
        """
        averages = self._part(i, box).copy()
        release(self._file)
        return averages

    def write(self, i: int, box: Box, averages: np.ndarray) -> None:
        """Replace what `read` returns for the same crop."""
        self.undo.save(FILE, *self._offsets[i : i + 2])
        self._part(i, box)[:] = averages
        release(self._file)

    def flush(self) -> None:
        """Wait until all changes are on the disk."""
        self._file.flush()

    def close(self) -> None:
        """Flush and let go of the file."""
        self.flush()
        self.undo.close()
        del self._file, self.undo

    def _part(self, i: int, box: Box) -> np.ndarray:
        frame = self._file[self._offsets[i] : self._offsets[i + 1]].reshape(self._shapes[i])
        rows = self._cells(box.top, box.bottom, frame.shape[1])
        columns = self._cells(box.left, box.right, frame.shape[2])
        return frame[:, rows, columns]

    def _cells(self, start: int, stop: int, number: int) -> slice:
        """Return which of a number of cells are nearest to the pixels from start to stop."""
        length = -(-(stop - start) // self._stride)
        first = min((start + self._stride // 2) // self._stride, number - length)
        return slice(first, first + length)


def _shapes(
    frame_sizes: Sequence[Size], num_classes: int, stride: int
) -> list[tuple[int, int, int]]:
    """Return (C, h, w) of each frame."""
    return [(num_classes, -(-h // stride), -(-w // stride)) for h, w in frame_sizes]
