"""Predictions of a test as coloured images."""

from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmseg.structures import SegDataSample

from mmseg_uvpt.files import write_png


class PredictionFilesHook(Hook):
    """Writes each prediction of a test in the colours of the data set's palette.

    Args:
        folder: the files lie in it as the images do in the data set: ``<city>/<image name>.png``.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def after_test_iter(
        self, runner, batch_idx: int, data_batch: dict | None, outputs: list[SegDataSample]
    ) -> None:
        """Write the batch's predictions, each file whole."""
        dataset = runner.test_dataloader.dataset
        palette = np.array(dataset.metainfo['palette'], np.uint8)
        for sample in outputs:
            label = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            name = Path(sample.img_path).relative_to(dataset.data_prefix['img_path'])
            write_png(self.folder / name.with_suffix('.png'), palette[label])
