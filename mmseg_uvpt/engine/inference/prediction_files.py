"""Predictions of a test as files: in colours, or as the server of a benchmark asks for them."""

from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.datasets import BaseSegDataset
from mmseg.structures import SegDataSample

from mmseg_uvpt.datasets.files.predicted_files import PREDICTIONS
from mmseg_uvpt.datasets.label_encodings import CLASSES, TRAIN_ID_TO_CITYSCAPES
from mmseg_uvpt.datasets.layouts import LAYOUTS
from mmseg_uvpt.engine.inference.writers import Writers
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.outputs import claim_folder
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_json, write_png


class PredictionFilesHook(Hook):
    """Writes each prediction of a test in the colours of the data set's palette, in threads.

    Args:
        folder: the files lie in it as the images do in the data set: ``<city>/<image name>.png``.
        facts: what makes them, for the record there (`outputs.claim_folder`).
    """

    option = '--show-dir'

    def __init__(self, folder: str | Path, facts: dict):
        self.folder = Path(folder)
        self.facts = facts

    def name(self, image: str, dataset: BaseSegDataset) -> str:
        """Return the name of the file of an image, relative to the folder."""
        path = Path(image).relative_to(dataset.data_prefix['img_path'])
        return path.with_suffix('.png').as_posix()

    def pixels_of_classes(self, dataset: BaseSegDataset) -> np.ndarray:
        """Return the pixel that stands for each class: uint8 (C, 3) in R, G, B, or (C,).

        Raises:
            UserError: the data set is none that such files can be made of.
        """
        return np.array(dataset.metainfo['palette'], np.uint8)

    def before_test_epoch(self, runner) -> None:
        """Claim the folder and start the threads.

        Raises:
            UserError: a prediction would replace an image, a label or a file of others; or see
                `pixels_of_classes`.
        """
        dataset = runner.test_dataloader.dataset
        self._pixels = self.pixels_of_classes(dataset)
        frames = [dataset.get_data_info(i) for i in range(len(dataset))]
        files = [self.name(frame['img_path'], dataset) for frame in frames]
        inputs = [f[key] for f in frames for key in ('img_path', 'seg_map_path') if f.get(key)]
        self.facts = claim_folder(self.folder, files, inputs, self.facts, self.option)
        self._writers = Writers()

    def after_test_iter(
        self, runner, batch_idx: int, data_batch: dict | None, outputs: list[SegDataSample]
    ) -> None:
        """Have the batch's predictions written, each file whole.

        Raises:
            UserError: an earlier one could not be written.
        """
        dataset = runner.test_dataloader.dataset
        for sample in outputs:
            label = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
            path = self.folder / self.name(sample.img_path, dataset)
            self._writers.submit(_write, path, self._pixels, label)

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """Wait for the last files.

        Raises:
            UserError: one could not be written.
        """
        self._writers.close()
        if is_main_process():
            write_json(self.folder / PREDICTIONS, {**self.facts, 'finished': provenance.now()})


class SubmissionHook(PredictionFilesHook):
    """Writes each prediction as its data set's benchmark asks for it: an 8-bit grey PNG of ids.

    All files lie in the folder itself and are called as the images are, which both servers find:
    that of Cityscapes, where names begin with ``<city>_<sequence>_<frame>`` and pixels are label
    ids 0..33 (cityscapesscripts, ``evalPixelLevelSemanticLabeling.py``), and that of ACDC, where
    pixels are train ids (see `layouts.ACDC`).
    """

    option = '--format-only'

    def name(self, image: str, dataset: BaseSegDataset) -> str:
        return f'{Path(image).stem}.png'

    def pixels_of_classes(self, dataset: BaseSegDataset) -> np.ndarray:
        layout = getattr(dataset, 'layout', None)
        if not getattr(layout, 'submission', ''):
            known = ' and '.join(each.title for each in LAYOUTS.values() if each.submission)
            raise UserError(
                f'--format-only knows what the servers of {known} ask for, and test_dataloader '
                f'has {layout.title if layout else type(dataset).__name__}: tools/predict.py '
                'writes the train ids of any images'
            )
        if tuple(dataset.metainfo['classes']) != CLASSES:
            raise UserError(
                f'--format-only: the server of {layout.title} scores the {len(CLASSES)} classes of '
                'Cityscapes, and the config names others: tools/predict.py writes their ids'
            )
        ids = np.arange(len(CLASSES), dtype=np.uint8)
        return TRAIN_ID_TO_CITYSCAPES[ids] if layout.submission == 'label ids' else ids


def _write(path: Path, pixels: np.ndarray, label: np.ndarray) -> None:
    write_png(path, pixels[label])
