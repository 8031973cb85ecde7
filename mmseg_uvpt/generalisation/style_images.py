"""A folder of images whose style others take: paintings, photographs, anything."""

from pathlib import Path

import cv2
import numpy as np

from mmseg_uvpt.errors import UserError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.tif', '.tiff')
SIDE = 512  # of what style images are resized to


def find(folder: str | Path) -> list[Path]:
    """Return the images below a folder, in order.

    Raises:
        UserError: the folder is missing, or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f'style images: {folder} is no folder. Make one of any images, '
            'name another with `style_dir` in the config, or leave adain and fda_style out of '
            '`augmentations`.'
        )
    found = sorted(p for p in folder.rglob('*') if p.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f'style images: {folder} holds no {", ".join(SUFFIXES)}')
    return found


def decode(path: Path) -> np.ndarray | None:
    """Return an image file as (h, w, 3) uint8, BGR; None if it is missing or no image."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None


def read(path: Path, square: bool) -> np.ndarray:
    """Read a style image, RGB.

    Args:
        path: of the image.
        square: resize it to 512 x 512 (bicubic); else its shorter side to 512 (bilinear).

    Returns:
        numpy.ndarray: (h, w, 3) uint8.

    Raises:
        UserError: it cannot be read.
    """
    image = decode(path)
    if image is None:
        raise UserError(f'style image {path} cannot be read: mend it, or take it out of its folder')
    if square:
        image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    else:
        scale = SIDE / min(image.shape[:2])
        width, height = (max(SIDE, round(n * scale)) for n in image.shape[1::-1])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
