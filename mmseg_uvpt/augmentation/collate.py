"""Where a batch is put together: one augmentation is drawn for it, and what it needs is fetched."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from mmengine.structures import PixelData

from mmseg_uvpt.augmentation import style_images
from mmseg_uvpt.augmentation.augmentations import CORRUPTIONS, WITH_STYLE_IMAGE, check_names
from mmseg_uvpt.augmentation.corruptions import SEVERITIES, corrupt


@lru_cache
def _style_images(folder: str | None) -> list[Path]:
    return style_images.find(folder)


@FUNCTIONS.register_module()
def augmented_collate(
    samples: Sequence[dict], augmentations: Sequence[str], style_dir: str | None = None
) -> dict:
    """Draw an augmentation, do of it what belongs in a worker, and collate.

    Snow, frost and cartoon are done here. For the others each sample gets what the model's
    preprocessor needs: the name of the augmentation in its metainfo, and a style image.

    Args:
        samples: of the data set, packed; ``inputs`` (3, H, W) uint8, BGR.
        augmentations: names to draw from, each as likely as another.
        style_dir: folder of style images, if one of the augmentations takes one.

    Returns:
        dict: as of mmengine's ``pseudo_collate``.

    Raises:
        UserError: imaug or the style images are missing, or one cannot be read.
        ValueError: an augmentation is unknown.
    """
    name = np.random.choice(check_names(augmentations))  # noqa: NPY002 (workers seed this one)
    for sample in samples:
        sample['data_samples'].set_metainfo({'augmentation': str(name)})
        if name in CORRUPTIONS:
            image = sample['inputs'].numpy()[::-1].transpose(1, 2, 0)
            seed, severity = _below(2**31), SEVERITIES[_below(len(SEVERITIES))]
            corrupted = corrupt(str(name), image, seed, severity)
            flipped = np.ascontiguousarray(corrupted.transpose(2, 0, 1)[::-1])
            sample['inputs'] = torch.from_numpy(flipped)
        elif name in WITH_STYLE_IMAGE:
            paths = _style_images(style_dir)
            square = WITH_STYLE_IMAGE[name] == 'square'
            style = style_images.read(paths[_below(len(paths))], square)
            sample['data_samples'].style = PixelData(
                data=torch.from_numpy(style.transpose(2, 0, 1).copy())
            )
    return pseudo_collate(samples)


def _below(count: int) -> int:
    return int(np.random.randint(count))  # noqa: NPY002
