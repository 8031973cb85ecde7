"""One image under each augmentation, side by side."""

from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_uvpt.augmentation import prerequisites
from mmseg_uvpt.augmentation.collate import augmented_collate
from mmseg_uvpt.datasets.files.decoding import check_pixels
from mmseg_uvpt.datasets.files.image_files import read_image
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png

COLUMNS, WIDTH, TITLE = 3, 640, 28  # panels in a row; pixels


def draw(cfg: Config, image: Path, out: Path, seed: int) -> None:
    """Write a PNG with the image as it is and under each augmentation of a config.

    Args:
        cfg: resolved config of a pretraining with augmentations.
        image: file to read.
        out: file to write.
        seed: of all that is drawn at random.

    Raises:
        UserError: the config has no augmentations, something they need is missing, or the image
            cannot be read.
    """
    collate = prerequisites.collate_of(cfg)
    if collate is None:
        raise UserError(
            f'{cfg.filename} has no augmentations; configs/pretrain/source-gta_*.py have'
        )
    prerequisites.check(cfg)
    read = read_image(image)
    height = max(1, round(read.shape[0] * WIDTH / read.shape[1]))
    check_pixels(image, (height, WIDTH))
    read = cv2.resize(read, (WIDTH, height), interpolation=cv2.INTER_AREA)
    pixels = torch.from_numpy(read.transpose(2, 0, 1).copy())
    # mean 0 and deviation 1: what comes out is the image, not what a network sees
    given = dict(cfg.model.data_preprocessor, mean=[0.0] * 3, std=[1.0] * 3)
    preprocessor = MODELS.build(given)
    panels = [_panel('as it is', read)]
    for name in collate.augmentations:
        np.random.seed(seed)  # noqa: NPY002 (what workers seed)
        torch.manual_seed(seed)
        sample = SegDataSample(metainfo={'img_shape': read.shape[:2]})
        packed = [{'inputs': pixels.clone(), 'data_samples': sample}]
        data = augmented_collate(packed, [name], collate.get('style_dir'))
        rgb = preprocessor(data, training=True)['inputs'][0].clamp(0, 255).round()
        panels.append(_panel(name, rgb.byte().numpy().transpose(1, 2, 0)[:, :, ::-1]))
    panels += [np.full_like(panels[0], 255)] * (-len(panels) % COLUMNS)
    rows = [np.hstack(panels[i : i + COLUMNS]) for i in range(0, len(panels), COLUMNS)]
    write_png(out, np.vstack(rows)[:, :, ::-1])


def _panel(title: str, image: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3), BGR, below its title."""
    bar = np.full((TITLE, image.shape[1], 3), 255, np.uint8)
    cv2.putText(bar, title, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([bar, image])
