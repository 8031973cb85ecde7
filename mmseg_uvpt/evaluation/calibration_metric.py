"""The metric that ``test.py --calibration`` puts beside that of IoU."""

from collections.abc import Sequence

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from mmseg_uvpt.evaluation.calibration import Calibration, FrameCalibration
from mmseg_uvpt.evaluation.iou_metric import GATHERED


@METRICS.register_module()
class CalibrationMetric(BaseMetric):
    """Expected calibration error in percent, ``ECE``.

    Args:
        temperature: that predictions are made with.
        ignore_index: pixels with this true id count nowhere.
        **kwargs: as for ``mmengine.evaluator.BaseMetric``.

    Attributes:
        calibration: what the last evaluation found, on the main process; None elsewhere.
    """

    def __init__(self, temperature: float = 1.0, ignore_index: int = 255, **kwargs) -> None:
        super().__init__(**{**GATHERED, **kwargs})
        self.temperature, self.ignore_index = temperature, ignore_index
        self.calibration: Calibration | None = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each frame.

        Args:
            data_batch: not used; predictions carry their ground truth.
            data_samples: of `Result.to_sample`, with ``gt_sem_seg``.
        """
        for sample in data_samples:
            truth = sample['gt_sem_seg']['data'].squeeze(0)
            frame = FrameCalibration.of(sample['full_logits'](), truth, self.ignore_index)
            self.results.append(frame)

    def compute_metrics(self, results: list[FrameCalibration]) -> dict[str, float]:
        """Log the main figures of all frames."""
        self.calibration = Calibration(results, self.temperature)
        print_log(self.calibration.line(), logger='current')
        return {'ECE': 100 * self.calibration.bins.ece}
