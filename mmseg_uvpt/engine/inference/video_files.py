"""Videos that appear whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from mmseg_uvpt.engine.inference.sources import Video
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import is_text
from mmseg_uvpt.progress import progress


def write_video(path: Path, frames: Iterable[np.ndarray], video: Video) -> int:
    """Write frames, uint8 (H, W, 3), B, G, R, at the rate of the video that they were made of.

    The recording of a camera ends with Ctrl-C, and is kept. Frames of another size than the first,
    which a stream may have after a while, are resized to that. The file is MPEG-4 (mp4v), which
    each build of OpenCV writes; browsers want it coded anew
    (``ffmpeg -i seen.mp4 -c:v libx264 ...``).

    Returns:
        int: number of frames.

    Raises:
        UserError: the file cannot be written.
    """
    if not is_text(path):  # OpenCV would end the process
        raise UserError(f'cannot write {str(path)!a}: its name is no UTF-8, name another folder')
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.stem}.{os.getpid()}.part{path.suffix}')
    writer, number, size = None, 0, None
    try:
        try:
            shown = progress(frames, f'predicting {video.name}', 'frame', video.frames)
            for frame in map(_even, shown):
                size = size or frame.shape[1::-1]
                writer = writer or _open(part, frame, video.rate, path)
                number += 1
                writer.write(frame if frame.shape[1::-1] == size else cv2.resize(frame, size))
        except KeyboardInterrupt:
            if video.frames is not None or number < 2:
                raise
            number -= 1  # it may have come before the last frame was written
        writer.release()
        if (written := _frames_in(part)) < number:
            raise UserError(f'cannot write {path}: no space left, or no permission')
        os.replace(part, path)
    finally:
        if writer is not None:
            writer.release()
        part.unlink(missing_ok=True)
    return written


def _frames_in(path: Path) -> int:
    """Return how many frames a file has; OpenCV says nothing where it could not write."""
    capture = cv2.VideoCapture(str(path))
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()


def _even(frame: np.ndarray) -> np.ndarray:
    """Return a frame whose sides are even, as MPEG-4 has them: the last row or column twice."""
    height, width = frame.shape[:2]
    return cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)


def _open(part: Path, frame: np.ndarray, rate: float, path: Path) -> cv2.VideoWriter:
    """Begin to write ``part``, which is to become ``path``."""
    height, width = frame.shape[:2]
    # MPEG-4 takes rates as fractions of 65535 at most, which more digits exceed
    described = (cv2.VideoWriter_fourcc(*'mp4v'), round(rate, 2), (width, height))
    writer = cv2.VideoWriter(str(part), *described)
    if not writer.isOpened():
        raise UserError(
            f'cannot write {path}: OpenCV opens no MPEG-4 file of {width} x {height} and '
            f'{rate:.2f} frames a second'
        )
    return writer
