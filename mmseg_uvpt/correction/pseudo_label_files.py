"""Finding and reading the pseudo labels that a label bank begins with."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_uvpt.correction.layout import Size
from mmseg_uvpt.datasets.cityscapes import pseudo_label_path
from mmseg_uvpt.datasets.files.image_files import image_size
from mmseg_uvpt.datasets.files.png_files import png_header
from mmseg_uvpt.datasets.label_encodings import IGNORE, read_pseudo_label
from mmseg_uvpt.errors import UserError


@dataclass(frozen=True)
class TargetFrame:
    """One image of the target training set.

    Attributes:
        name: path of the image relative to the data set's image folder.
        image: path of the image.
        pseudo_label: path of its pseudo label; it may be missing.
    """

    name: str
    image: Path
    pseudo_label: Path


def list_frames(dataset: BaseSegDataset, pseudo_label_dir: Path) -> list[TargetFrame]:
    """List the frames of a data set in its order."""
    root = Path(dataset.data_prefix['img_path'])
    frames = []
    for i in range(len(dataset)):
        image = Path(dataset.get_data_info(i)['img_path'])
        label = pseudo_label_path(dataset, image, pseudo_label_dir)
        frames.append(TargetFrame(image.relative_to(root).as_posix(), image, label))
    return frames


def check_frames(frames: Sequence[TargetFrame], pseudo_label_dir: Path) -> list[Size]:
    """Check that every image has a pseudo label of its size; only headers are read.

    Returns:
        (height, width) of each image.

    Raises:
        UserError: a file is missing, unreadable or of another size than its image.
    """
    missing = [f.pseudo_label for f in frames if not f.pseudo_label.is_file()]
    if missing:
        raise UserError(
            f'{len(missing)} of {len(frames)} pseudo labels are missing, the first of them '
            f'{missing[0]}. Make them with: {_command(pseudo_label_dir)}'
        )
    sizes = []
    for frame in frames:
        size = image_size(frame.image, 'Restore it, then run the same command again.')
        found = png_header(frame.pseudo_label, _again(pseudo_label_dir)).size
        if found != size:
            raise UserError(
                f'{frame.pseudo_label} is {found[1]} x {found[0]} pixels, but its image '
                f'{frame.image} is {size[1]} x {size[0]}. {_again(pseudo_label_dir)}'
            )
        sizes.append(size)
    return sizes


def read_pseudo_labels(
    frames: Sequence[TargetFrame], pseudo_label_dir: Path, num_classes: int
) -> Iterator[np.ndarray]:
    """Read the pseudo labels one after the other: (H, W) uint8, classes or 255.

    Raises:
        UserError: a file is damaged, is no label image, or holds a value that is no class.
    """
    again = _again(pseudo_label_dir)
    for frame in frames:
        path = frame.pseudo_label
        label = read_pseudo_label(path, again)
        wrong = np.setdiff1d(label, [*range(num_classes), IGNORE])
        if wrong.size:
            raise UserError(
                f'{path} holds the label value {wrong[0]}; allowed are 0..{num_classes - 1} '
                f'and {IGNORE}. {again}'
            )
        yield label


def _command(pseudo_label_dir: Path) -> str:
    return (
        'python generate_pseudo_label.py --config <config> --checkpoint <file> '
        f'--pseudo_label_dir {pseudo_label_dir}'
    )


def _again(pseudo_label_dir: Path) -> str:
    return f'Delete the pseudo label and make it again with: {_command(pseudo_label_dir)}'
