"""A folder of images whose style others take: paintings, photographs, anything."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.decoding import check_pixels
from mmseg_uvpt.datasets.files.image_files import SUFFIXES, check_image, images_below, read_image
from mmseg_uvpt.errors import UserError

SIDE = 512  # of what style images are resized to


def find(folder: str | Path | None) -> list[Path]:
    """Return the images below a folder, in order; links that lead nowhere are among them.

    Raises:
        UserError: the folder is not named, is missing, or holds no image.
    """
    if not folder:
        raise UserError('style images: `style_dir` of collate_fn in the config names no folder')
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(
            f'style images: {folder} is no folder. Make one of any images, '
            'name another with `style_dir` in the config, or leave adain and fda_style out of '
            '`augmentations`.'
        )
    found, _ = images_below(folder)
    if not found:
        raise UserError(f'style images: {folder} holds no {", ".join(SUFFIXES)}')
    return found


def check(folder: str | Path | None) -> None:
    """Make sure that a folder serves: each image's head is looked at, none is decoded.

    Raises:
        UserError: as `find`; or files are no images, six of which are named.
    """
    wrong = []
    for path in find(folder):
        try:
            check_image(path)
        except DataError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError(
            f'style images: {len(wrong)} files of {folder} cannot be read: mend them, or take them '
            f'out. {" ".join(wrong[:6])}'
        )


def read(path: Path, square: bool) -> np.ndarray:
    """Read a style image, RGB, resized with antialiasing.

    Args:
        path: of the image.
        square: resize it to 512 x 512 (bicubic); else its shorter side to 512 (bilinear).

    Returns:
        numpy.ndarray: (h, w, 3) uint8.

    Raises:
        UserError: it cannot be read.
    """
    image = Image.fromarray(np.ascontiguousarray(read_image(path)[..., ::-1]))
    if square:
        return np.array(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    scale = SIDE / min(image.size)
    width, height = (max(SIDE, round(n * scale)) for n in image.size)
    check_pixels(path, (height, width))  # of a line of pixels much would become
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))
