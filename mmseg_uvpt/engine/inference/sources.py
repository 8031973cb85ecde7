"""What can be predicted: image files, folders of them, images in memory, videos and cameras."""

import os
import re
import sys
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import SUFFIXES, images_below
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import is_text, why_unreadable

VIDEO_SUFFIXES = (
    *('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.ts', '.mts', '.wmv'),
    *('.3gp', '.flv', '.ogv', '.m2ts', '.asf', '.h264', '.h265', '.y4m'),
)
_ADDRESS = re.compile(r'://|^/dev/video\d| ! ')  # of cameras, and pipelines of GStreamer
_NUMBERED = re.compile(r'%0?\d*d')  # images that OpenCV reads as a video
_RATE = 25.0  # of a camera that states none


class Picture(NamedTuple):
    """An image to be predicted.

    Args:
        name: path, or what else errors call it.
        pixels: uint8 (H, W, 3), B, G, R; None for a file that is still to be read.
    """

    name: str
    pixels: np.ndarray | None = None

    def for_pipeline(self) -> dict:
        """Return what the first transform of a pipeline is given."""
        if self.pixels is None:
            return {'img_path': self.name}
        return {'img_path': self.name, 'img': self.pixels}


class Video:
    """The frames of a file or a camera, once.

    Args:
        address: a file, an address such as ``rtsp://...``, or the number of a camera.

    Attributes:
        frames: how many the file claims to have; None of a camera.
        rate: frames a second.
        is_live: whether it is a camera or an address, whose frames do not wait.

    Raises:
        UserError: OpenCV cannot open it.
    """

    def __init__(self, address: str | int) -> None:
        self.address = str(address)
        if not is_text(self.address):  # OpenCV would end the process
            raise UserError(f'video {self.address!a} has a name that is no UTF-8: rename it')
        number = int(address) if self.address.isdecimal() else None
        is_numbered = _is_numbered(self.address)
        is_file = number is None and not (is_numbered or _is_address(self.address))
        self.is_live = not (is_file or is_numbered)
        if is_file and (reason := why_unreadable(self.address)):
            raise UserError(f'video {address} {reason}')
        self._capture = cv2.VideoCapture(self.address if number is None else number)
        if not self._capture.isOpened():
            what = f'camera {number}' if number is not None else f'video {address}'
            raise UserError(
                f'{what} cannot be opened by OpenCV: it is missing, damaged or coded in a way that '
                'it does not read. ffplay shows whether another program can'
            )
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = count if count > 0 and not self.is_live else None
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate < 1000 else _RATE

    @property
    def name(self) -> str:
        """What its result is called: the file's name without suffix, or one made of the address."""
        if self.address.isdecimal():
            return f'camera_{self.address}'
        if _is_numbered(self.address):
            return Path(self.address).absolute().parent.name
        last = self.address.rstrip('/').rpartition('/')[2].partition('?')[0]
        return Path(last).stem or 'video'

    def __iter__(self) -> Iterator[Picture]:
        """Yield the frames; say on stderr where a file ends before its time.

        Raises:
            UserError: there is none.
        """
        number = 0
        try:
            while True:
                found, pixels = self._capture.read()
                if not found:
                    break
                number += 1
                yield Picture(f'{self.address}, frame {number}', pixels)
        finally:
            self._capture.release()
        if not number:
            raise UserError(f'video {self.address} has no frame that OpenCV can read')
        if self.frames and number < self.frames - 1:  # some claim one more than there is
            print(
                f'{self.address} ends after {number} of {self.frames} frames: what follows cannot '
                'be read',
                file=sys.stderr,
            )


def is_video(source: object) -> bool:
    """Tell whether something names a video or a camera: by its suffix, as an address or number."""
    if isinstance(source, Integral) and not isinstance(source, bool):
        return True
    if not isinstance(source, str | Path) or os.path.isdir(source):
        return False
    text = str(source)
    is_camera = text.isdecimal() and not os.path.exists(text)
    is_named = Path(text).suffix.lower() in VIDEO_SUFFIXES
    return is_camera or is_named or _is_address(text) or _is_numbered(text)


def _is_address(text: str) -> bool:
    is_image = '://' not in text and Path(text).suffix.lower() in SUFFIXES
    return bool(_ADDRESS.search(text)) and not is_image


def _is_numbered(text: str) -> bool:
    """Tell whether a text is the pattern of numbered images, of which one of the first is there."""
    found = _NUMBERED.search(text)
    if not found or os.path.exists(text):
        return False
    before, after = text[: found.start()], text[found.end() :]
    return any(os.path.isfile(f'{before}{found[0] % number}{after}') for number in range(5))


def images_in(folder: Path) -> list[Path]:
    """Return the images below a folder in order; say on stderr what is left out."""
    paths, left_out = images_below(folder)
    if left_out:
        print(left_out, file=sys.stderr)
    videos = [p for p in map(Path, paths_below(folder)) if p.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        told = 'Videos are named one by one, not by their folder'
        print(f'{told}: {videos[0]}', file=sys.stderr)
    return paths


def no_image(where: object) -> UserError:
    """Return the error that a place has no image."""
    return UserError(f'{where}: no image there (.png, .jpg or the like)')


def picture(source: object) -> Picture:
    """Return an image that is given by its path, by Pillow, or as an array (H, W, 3), B, G, R.

    Those of Pillow are turned upright, as files are, and lose their alpha.

    Raises:
        DataError: it is no image of 8 bits a channel, or has no pixel.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, str | Path):
        if is_video(source):
            raise DataError(f'{source} is a video, which is given by itself and not among images')
        if reason := why_unreadable(source):
            raise DataError(f'{source} {reason}: name an image, a folder of images or a video')
        return Picture(str(source))
    if isinstance(source, Image.Image):
        if source.mode.startswith(('I', 'F')):
            raise DataError(f'an image of Pillow has mode {source.mode}: save it as 8-bit RGB')
        try:
            # as of files: of a PNG the note of how the camera was held is not followed
            upright = source if source.format == 'PNG' else ImageOps.exif_transpose(source)
            pixels = np.asarray(upright.convert('RGB'))
        except Exception as error:  # it reads its file only now, which may be wrong in any way
            raise DataError(f'an image of Pillow cannot be read: {error}') from error
        return _with_pixels(Picture('an image of Pillow', np.ascontiguousarray(pixels[..., ::-1])))
    if isinstance(source, np.ndarray):
        return _with_pixels(Picture('an array', source.copy()))  # its owner may go on to change it
    raise DataError(
        f'{type(source).__name__} is nothing to predict: give a path, an image of Pillow, an array '
        '(height, width, 3) of uint8 in the order B, G, R, or several of these'
    )


def _with_pixels(found: Picture) -> Picture:
    if not found.pixels.size:
        raise DataError(f'{found.name} has no pixel: its shape is {found.pixels.shape}')
    return found
