"""Predictions of a test as coloured images."""

from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmseg.structures import SegDataSample

from mmseg_uvpt.engine.writing import Writers
from mmseg_uvpt.files import write_png


class PredictionFilesHook(Hook):
    """Writes each prediction of a test in the colours of the data set's palette, in threads.

    Args:
        folder: the files lie in it as the images do in the data set: ``<city>/<image name>.png``.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def before_test_epoch(self, runner) -> None:
        """Start the threads."""
        self._writers = Writers()

    def after_test_iter(
        self, runner, batch_idx: int, data_batch: dict | None, outputs: list[SegDataSample]
    ) -> None:
        """Have the batch's predictions written, each file whole.

        Raises:
            UserError: an earlier one could not be written.
        """
        dataset = runner.test_dataloader.dataset
        palette = np.array(dataset.metainfo['palette'], np.uint8)
        for sample in outputs:
            label = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            name = Path(sample.img_path).relative_to(dataset.data_prefix['img_path'])
            self._writers.submit(_write, self.folder / name.with_suffix('.png'), palette, label)

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """Wait for the last files.

        Raises:
            UserError: one could not be written.
        """
        self._writers.close()


def _write(path: Path, palette: np.ndarray, label: np.ndarray) -> None:
    write_png(path, palette[label])
