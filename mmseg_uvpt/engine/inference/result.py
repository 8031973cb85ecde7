"""What a model says of one image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_uvpt.datasets.files.image_files import read_image
from mmseg_uvpt.datasets.label_encodings import IGNORE
from mmseg_uvpt.engine.inference.logits_to_labels import largest_channel, resized_probability
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.calibration import TEMPERATURES
from mmseg_uvpt.files import write_whole
from mmseg_uvpt.ops.resizing import resized

UNSURE = IGNORE  # instead of a class


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
        temperature: that logits are divided by before a softmax, for confidences.
    """

    label: Tensor
    logits: Tensor
    meta: Mapping
    sample: SegDataSample
    align_corners: bool
    temperature: float = 1.0

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
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self.class_names)] = self.meta['palette']
        colours = np.ascontiguousarray(palette[self.classes][..., ::-1])
        shown = cv2.addWeighted(colours, opacity, image, 1 - opacity, 0)
        unsure = self.classes == UNSURE
        shown[unsure] = image[unsure]
        return shown

    def abstained(self, threshold: float) -> 'Result':
        """Return the result without a class, 255, where the confidence is below a threshold.

        Such pixels have no colour in its overlay.

        Args:
            threshold: 0..1.
        """
        if not 0 <= threshold <= 1:
            raise UserError(f'threshold={threshold!r}: must be in 0..1')
        return replace(self, label=self.label.masked_fill(self.probability() < threshold, UNSURE))

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
        return resized_probability(self.logits[None], size, self.align_corners, self.temperature)[0]

    def _full_logits(self) -> Callable[[], Tensor]:
        """Return what makes logits (C, H, W) by temperature; it holds no sample that holds it."""
        size = tuple(self.label.shape)
        return partial(_at_size, self.logits, size, self.align_corners, self.temperature)

    def as_seen(self) -> tuple[Tensor, Tensor]:
        """Return label, uint8 (h, w), and confidence, float32 (h, w), at the network's size."""
        confidence, label = largest_channel(
            _divided(self.logits, self.temperature).softmax(0)[None]
        )
        return label[0], confidence[0]

    def to_sample(self) -> SegDataSample:
        """Return the sample with ``pred_sem_seg``, uint8 (1, H, W), for metrics and hooks.

        And ``full_logits``, whose call returns them at the original size, divided by temperature:
        float32 (C, H, W).
        """
        self.sample.pred_sem_seg = PixelData(data=self.label[None])
        self.sample.set_field(self._full_logits(), 'full_logits')
        return self.sample


def temperature_in(test_cfg: Mapping) -> float:
    """Return the ``temperature`` of a model's ``test_cfg``, 1 where it has none.

    Raises:
        UserError: it is no number of 0.05 to 20.
    """
    value, (least, most) = test_cfg.get('temperature', 1.0), TEMPERATURES
    if type(value) not in (int, float) or not least <= value <= most:
        raise UserError(
            f'model.test_cfg.temperature={value!r}: must be a number of {least:g} to {most:g}, as '
            'test.py --calibration fits it'
        )
    return float(value)


def _at_size(
    logits: Tensor, size: tuple[int, int], align_corners: bool, temperature: float
) -> Tensor:
    return _divided(resized(logits[None], size, align_corners)[0], temperature)


def _divided(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits / temperature
