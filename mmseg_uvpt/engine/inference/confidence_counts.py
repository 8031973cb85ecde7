"""The confidences of all target images by class, counted in files that a killed run leaves."""

import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank

from mmseg_uvpt.correction.thresholds import ConfidenceHistogram
from mmseg_uvpt.files import open_regular, write_whole

_NAME = 'pseudo_label_counts.{}.npz'
_SECONDS = 60  # between two writings of 2.3 MB


class ConfidenceCounts:
    """How many pixels were predicted as each class with each confidence, and in which frames.

    Each process writes its own file into the folder of the pseudo labels, now and then and at the
    end, whole; `add` may be called by several threads.

    Args:
        folder: of the pseudo labels.
        frames: names of all frames that are to be counted.
        num_classes: number of classes.
    """

    def __init__(self, folder: Path, frames: Sequence[str], num_classes: int) -> None:
        self._folder = folder
        self._frames = list(frames)
        self._counted: set[str] = set()
        self._histogram = ConfidenceHistogram(num_classes)
        self._lock = threading.Lock()
        self._written = time.monotonic()

    def missing(self) -> list[int]:
        """Return the numbers of the frames that are not counted yet."""
        return [i for i, frame in enumerate(self._frames) if frame not in self._counted]

    def add(self, frame: str, label: np.ndarray, confidence: np.ndarray) -> None:
        """Count a frame: uint8 classes (H, W), and their confidences, float16 in 0..1."""
        with self._lock:
            self._histogram.add(label, confidence)
            self._counted.add(frame)
            if time.monotonic() - self._written > _SECONDS:
                self.write()

    def quantiles(self, quantile: float) -> np.ndarray:
        """Return each class's quantile: (C,) float32, see `ConfidenceHistogram.quantiles`."""
        return self._histogram.quantiles(quantile)

    def write(self) -> None:
        """Write what this process has counted.

        Raises:
            UserError: it cannot be written.
        """
        with write_whole(self._folder / _NAME.format(get_rank())) as file:
            np.savez_compressed(
                file, frames=np.array(sorted(self._counted)), counts=self._histogram.counts
            )
        self._written = time.monotonic()

    def take_up(self) -> None:
        """Add what all processes have written; no frame is counted twice, wrong files nowhere."""
        for path in self._files(self._folder):
            try:
                with open_regular(path) as file, np.load(file) as found:
                    frames, counts = set(found['frames'].tolist()), found['counts']
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue
            fits = counts.shape == self._histogram.counts.shape and counts.dtype == np.int64
            if fits and frames <= {*self._frames} and not frames & self._counted:
                self._histogram.counts += counts
                self._counted |= frames

    def merge(self) -> None:
        """Put everything into this process's file, rank 0's, so that the others can begin anew."""
        self.take_up()
        self.write()
        for path in self._files(self._folder)[1:]:  # killed before, their frames count once
            path.unlink()

    @classmethod
    def remove(cls, folder: Path) -> None:
        """Remove the files of all processes from a folder."""
        for path in cls._files(folder):
            path.unlink()

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        """Return the files of all processes, rank 0's first."""
        return sorted(folder.glob(_NAME.format('*')))
