"""Whether confidence can be believed: calibration error, coverage against accuracy, temperature.

Expected calibration error (Naeini, Cooper and Hauskrecht, Obtaining Well Calibrated Probabilities
Using Bayesian Binning, AAAI 2015) over 15 bins of equal width, as in Guo, Pleiss, Sun and
Weinberger, On Calibration of Modern Neural Networks, ICML 2017: how far accuracy is from the mean
confidence of a bin, averaged over the bins by their pixels. Temperature scaling is theirs, too: one
number T, by which all logits are divided before the softmax, of least negative log-likelihood.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

BINS = 15
THRESHOLDS = 20  # of the coverage table: 0, 0.05, ..., 0.95
TEMPERATURES = (0.05, 20.0)  # least and largest
SAMPLED = 4096  # labelled pixels of a frame whose logits are kept
_CELLS = 300  # of confidence, which both bins and thresholds are made of
_MOST_FITTED = 200_000  # pixels

DEFINITION = (
    'Shares, 0 to 1, of labelled pixels. ece: expected calibration error over all of them, '
    f'{BINS} bins of equal width. coverage: pixels of at least that confidence, and how many of '
    'them are right. temperature: of least negative log-likelihood on the first half of the '
    'frames; ece_of_second_half and ece_with_temperature are both of the second half. These '
    f'three are of {SAMPLED} evenly spaced labelled pixels a frame.'
)


@dataclass(frozen=True, eq=False)
class ConfidenceBins:
    """Pixels by confidence.

    Args:
        sums: float64 (3, 300): of the pixels of each three-hundredth of confidence their number,
            the number of right ones, and the sum of their confidences.
    """

    sums: np.ndarray

    @classmethod
    def of(cls, confidence: Tensor, right: Tensor) -> 'ConfidenceBins':
        """Count pixels.

        Args:
            confidence: in 0..1, any shape.
            right: whether the class is the true one, bool, same shape.
        """
        confidence = confidence.flatten()
        cells = (confidence * _CELLS).long().clamp_(0, _CELLS - 1)
        rows = (None, right.flatten().double(), confidence.double())
        counted = [torch.bincount(cells, row, minlength=_CELLS).cpu().numpy() for row in rows]
        return cls(np.stack(counted).astype(np.float64))

    @classmethod
    def added(cls, several: Sequence['ConfidenceBins']) -> 'ConfidenceBins':
        """Return the counts of several sets of pixels together."""
        return cls(np.sum([each.sums for each in several], axis=0))

    @cached_property
    def pixels(self) -> int:
        """Number of pixels."""
        return int(self.sums[0].sum())

    @cached_property
    def ece(self) -> float:
        """Expected calibration error, 0..1; NaN without a pixel."""
        _, right, confidence = self._binned()
        return float(np.abs(right - confidence).sum() / self.pixels) if self.pixels else np.nan

    def _binned(self) -> np.ndarray:
        return self.sums.reshape(3, BINS, -1).sum(2)

    def bins(self) -> list[dict]:
        """Return the 15 bins of a reliability diagram; an empty one has no means."""
        return [
            {
                'from': i / BINS,
                'pixels': int(pixels),
                'confidence': confidence / pixels if pixels else None,
                'accuracy': right / pixels if pixels else None,
            }
            for i, (pixels, right, confidence) in enumerate(self._binned().T.tolist())
        ]

    def coverage(self) -> list[dict]:
        """Return, for confidences from 0 to 0.95, the share of pixels that have it or more.

        And the accuracy of these, None where there are none.
        """
        step = _CELLS // THRESHOLDS
        left = self.sums[:2, ::-1].cumsum(1)[:, ::-1][:, ::step].T.tolist()
        return [
            {
                'confidence': i / THRESHOLDS,
                'coverage': pixels / self.pixels if self.pixels else None,
                'accuracy': right / pixels if pixels else None,
            }
            for i, (pixels, right) in enumerate(left)
        ]


@dataclass(frozen=True, eq=False)
class FrameCalibration:
    """What is kept of one frame: counts of all labelled pixels, logits of some.

    Args:
        bins: of all.
        logits: float32 (N, C).
        truth: int64 (N,), classes.
    """

    bins: ConfidenceBins
    logits: Tensor
    truth: Tensor

    @classmethod
    def of(cls, logits: Tensor, truth: Tensor, ignore_index: int = 255) -> 'FrameCalibration':
        """Count a frame.

        Args:
            logits: float32 (C, H, W).
            truth: classes or ``ignore_index``, (H, W).
            ignore_index: pixels with this true id count nowhere.
        """
        truth = truth.to(logits.device).flatten()
        labelled = (truth != ignore_index).nonzero()[:, 0]
        kept = labelled[:: max(1, -(-len(labelled) // SAMPLED))]
        flat = logits.flatten(1)
        sampled = flat[:, kept].T.contiguous().cpu(), truth[kept].long().cpu()
        confidence, label = flat.softmax(0).max(0)
        bins = ConfidenceBins.of(confidence[labelled], (label == truth)[labelled])
        return cls(bins, *sampled)


@dataclass(frozen=True, eq=False)
class Calibration:
    """How far the confidences of a model can be believed.

    Args:
        frames: in the order of the data set.
        used: temperature by which their logits were divided.
    """

    frames: Sequence[FrameCalibration]
    used: float = 1.0

    @cached_property
    def bins(self) -> ConfidenceBins:
        """All labelled pixels."""
        return ConfidenceBins.added([frame.bins for frame in self.frames])

    @cached_property
    def temperature(self) -> float | None:
        """That of the first half of the frames; None without a labelled pixel in them."""
        logits, truth = _joined(self.frames[: len(self.frames) // 2])
        if not len(truth):
            return None
        return float(np.clip(self.used * fitted_temperature(logits, truth), *TEMPERATURES))

    @property
    def _factor(self) -> float | None:
        """By what logits should be divided that were divided by ``used``."""
        return self.temperature and self.temperature / self.used

    def second_half(self, factor: float) -> float:
        """Return the calibration error of the second half, its logits divided by ``factor``."""
        logits, truth = _joined(self.frames[len(self.frames) // 2 :])
        confidence, label = (logits / factor).softmax(1).max(1)
        return ConfidenceBins.of(confidence, label == truth).ece

    def line(self) -> str:
        """Return the main figures in words; coverage at a confidence of 0.6."""
        at = self.bins.coverage()[round(0.6 * THRESHOLDS)]
        told = [f'expected calibration error {_percent(self.bins.ece)}']
        if self._factor:
            told.append(
                f'with temperature {self.temperature:.3f}, fitted on the first half of the frames, '
                f'{_percent(self.second_half(self._factor))} instead of '
                f'{_percent(self.second_half(1.0))} on the second'
            )
        told.append(
            f'{_percent(at["coverage"])} of the pixels have a confidence of 0.6 or more, '
            f'{_percent(at["accuracy"])} of them are right'
        )
        return '; '.join(told)

    def to_json(self) -> dict:
        """Return everything as plain JSON values; what has no value is null."""
        factor = self._factor
        halves = (self.second_half(1.0), self.second_half(factor)) if factor else (np.nan, np.nan)
        before, after = (None if np.isnan(each) else each for each in halves)
        return {
            'ece': None if np.isnan(self.bins.ece) else self.bins.ece,
            'bins': self.bins.bins(),
            'coverage': self.bins.coverage(),
            'temperature': self.temperature,
            'ece_of_second_half': before,
            'ece_with_temperature': after,
            'temperature_in_config': self.used,
            'definition': DEFINITION,
        }


def fitted_temperature(logits: Tensor, truth: Tensor) -> float:
    """Return the temperature of least negative log-likelihood, within `TEMPERATURES`.

    The likelihood is convex in 1 / T, so the zero of its derivative is found by twenty halvings
    of an interval of log T, with at most 200,000 evenly spaced pixels.

    Args:
        logits: (N, C); minus infinity is allowed, as the logarithm of a mean probability is.
        truth: classes, (N,).
    """
    step = -(-len(truth) // _MOST_FITTED)
    logits = logits[::step].clamp(min=-1e4)
    above = logits - logits.gather(1, truth[::step, None])
    low, high = np.log(TEMPERATURES)
    for _ in range(20):
        middle = (low + high) / 2
        expected = ((above / np.exp(middle)).softmax(1) * above).sum(1).mean(dtype=torch.float64)
        if expected <= 0:  # a larger 1 / T is likelier, or as likely
            high = middle
        else:
            low = middle
    return float(np.exp((low + high) / 2))


def _joined(frames: Sequence[FrameCalibration]) -> tuple[Tensor, Tensor]:
    if not frames:
        return torch.empty(0, 1), torch.empty(0, dtype=torch.long)
    return torch.cat([f.logits for f in frames]), torch.cat([f.truth for f in frames])


def _percent(value: float | None) -> str:
    return '-' if value is None or np.isnan(value) else f'{100 * value:.1f} %'
