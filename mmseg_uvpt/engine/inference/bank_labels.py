"""Reads the label bank's current labels of the images that candidates are judged on."""

import cv2
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmseg_uvpt.correction.label_bank import Box, LabelBank
from mmseg_uvpt.engine.inference.target_images import TargetImages


class BankLabels:
    """Reads the labels of some images in the size that these are predicted in.

    Args:
        bank: of the training.
        dataset: whose images the bank holds, in its order.
        images: whose labels are wanted.
    """

    def __init__(self, bank: LabelBank, dataset: Dataset, images: TargetImages) -> None:
        self._bank = bank
        paths = (dataset.get_data_info(i)['img_path'] for i in range(len(dataset)))
        places = {path: i for i, path in enumerate(paths)}
        self._places = [places.get(path) for path in images.paths]
        self._sizes = images.sizes()

    def __call__(self) -> list[Tensor]:
        """Return each image's label (h, w), 255 where the bank does not have the image."""
        return [
            self._label(place, size) for place, size in zip(self._places, self._sizes, strict=True)
        ]

    def _label(self, place: int | None, size: tuple[int, int]) -> Tensor:
        if place is None:
            return torch.full(size, 255, dtype=torch.uint8)
        height, width = self._bank.layout.frame_sizes[place]
        label = self._bank.read_label(place, Box(0, height, 0, width))
        return torch.from_numpy(cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST))
