"""Predictions of a test as coloured images."""

from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.datasets import BaseSegDataset
from mmseg.structures import SegDataSample

from mmseg_uvpt.engine.inference.writers import Writers
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.outputs import RECORD, claim_folder
from mmseg_uvpt.files import write_json, write_png


class PredictionFilesHook(Hook):
    """Writes each prediction of a test in the colours of the data set's palette, in threads.

    Args:
        folder: the files lie in it as the images do in the data set: ``<city>/<image name>.png``.
        facts: what makes them, for the record there (`outputs.claim_folder`).
    """

    def __init__(self, folder: str | Path, facts: dict):
        self.folder = Path(folder)
        self.facts = facts

    def before_test_epoch(self, runner) -> None:
        """Claim the folder and start the threads.

        Raises:
            UserError: a prediction would replace an image, a label or a file of others.
        """
        dataset = runner.test_dataloader.dataset
        frames = [dataset.get_data_info(i) for i in range(len(dataset))]
        files = [_name(frame['img_path'], dataset) for frame in frames]
        inputs = [f[key] for f in frames for key in ('img_path', 'seg_map_path') if f.get(key)]
        self.facts = claim_folder(self.folder, files, inputs, self.facts, '--show-dir')
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
            path = self.folder / _name(sample.img_path, dataset)
            self._writers.submit(_write, path, palette, label)

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """Wait for the last files.

        Raises:
            UserError: one could not be written.
        """
        self._writers.close()
        if is_main_process():
            write_json(self.folder / RECORD, {**self.facts, 'finished': provenance.now()})


def _name(image: str, dataset: BaseSegDataset) -> str:
    path = Path(image).relative_to(dataset.data_prefix['img_path'])
    return path.with_suffix('.png').as_posix()


def _write(path: Path, palette: np.ndarray, label: np.ndarray) -> None:
    write_png(path, palette[label])
