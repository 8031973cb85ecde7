"""What a model says of one image."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_uvpt.datasets.files.image_files import read_image
from mmseg_uvpt.engine.inference.logits_to_labels import largest_channel
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_whole
from mmseg_uvpt.ops.resizing import resized


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a model says of one image.

    Attributes:
        label: uint8 (H, W), the class of the largest logit at the image's original size: logits
            are resized, not labels.
        logits: float32 (C, h, w) at the size that the network saw, without padding or flip. Of
            several views it is the logarithm of their mean probability, at the original size.
        meta: ``classes`` and ``palette`` of the data set.
        sample: the data set's, of the first view: metainfo, and the ground truth if it was loaded.
        align_corners: how logits are resized.
    """

    label: Tensor
    logits: Tensor
    meta: Mapping
    sample: SegDataSample
    align_corners: bool

    def __repr__(self) -> str:
        height, width = self.label.shape
        name = 'an array' if isinstance(self.image, np.ndarray) else self.image
        return f'{type(self).__name__} of {name}, {width} x {height}'

    @cached_property
    def classes(self) -> np.ndarray:
        """The class of each pixel, by `class_names`, at the image's size: uint8 (H, W)."""
        return self.label.cpu().numpy()

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of each pixel's class at the image's own size: float32 (H, W)."""
        return self.probability().cpu().numpy()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their ids."""
        return tuple(self.meta['classes'])

    @property
    def image(self) -> str | np.ndarray | None:
        """Path of the image, or what it was given as: uint8 (H, W, 3), B, G, R."""
        return self.sample.get('pixels', self.sample.get('img_path'))

    def overlay(self, opacity: float = 0.5) -> np.ndarray:
        """Return the image under the colours of its classes: uint8 (H, W, 3), B, G, R.

        Args:
            opacity: of the colours, 0..1.
        """
        if not 0 <= opacity <= 1:
            raise UserError(f'opacity={opacity!r}: must be in 0..1')
        image = self.image if isinstance(self.image, np.ndarray) else read_image(self.image)
        colours = np.array(self.meta['palette'], np.uint8)[self.classes][..., ::-1]
        return cv2.addWeighted(np.ascontiguousarray(colours), opacity, image, 1 - opacity, 0)

    def save(self, path: str | Path, opacity: float = 0.5) -> None:
        """Write `overlay` as an image, whole or not at all, in the format of the file's suffix.

        A file is read again for that: it must still lie where it was.

        Raises:
            UserError: OpenCV writes no such format, or the file cannot be written.
        """
        suffix = Path(path).suffix.lower()
        how = [cv2.IMWRITE_PNG_COMPRESSION, 1] if suffix == '.png' else []
        written, encoded = False, None
        if suffix and cv2.haveImageWriter(suffix):
            written, encoded = cv2.imencode(suffix, self.overlay(opacity), how)
        if not written:
            raise UserError(f'{path}: name an image file to be written in colour, as seen.png')
        with write_whole(path) as file:
            file.write(encoded)

    def probability(self) -> Tensor:
        """Return the largest probability of each pixel at the original size: float32 (H, W)."""
        size = tuple(self.label.shape)
        return resized(self.logits[None], size, self.align_corners).softmax(1).amax(1)[0]

    def as_seen(self) -> tuple[Tensor, Tensor]:
        """Return label, uint8 (h, w), and confidence, float32 (h, w), at the network's size."""
        confidence, label = largest_channel(self.logits.softmax(0)[None])
        return label[0], confidence[0]

    def to_sample(self) -> SegDataSample:
        """Return the sample with ``pred_sem_seg``, uint8 (1, H, W), for metrics and hooks."""
        self.sample.pred_sem_seg = PixelData(data=self.label[None])
        return self.sample
