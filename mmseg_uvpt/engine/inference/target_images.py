"""A few target images without labels, and what a model says of them in several views."""

from collections.abc import Iterator, Sequence, Sized
from itertools import product

import torch
from mmengine.config import Config
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_uvpt.datasets.image_cache import through_cache
from mmseg_uvpt.engine.config.classes import data_sets_in
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evenly_spaced import evenly_spaced
from mmseg_uvpt.ops.resizing import resized
from mmseg_uvpt.progress import progress

LOADER = 'target_train_dataloader'  # of the images without labels
SCALES = (0.75, 1.0, 1.25)
REDUCTION = 4  # what is predicted is kept at so much less than the network's size


def chosen_images(dataset: Sized, number: int) -> list[int]:
    """Return the indices of evenly spaced images of `LOADER`'s data set.

    Raises:
        UserError: it has none.
    """
    if not len(dataset):
        raise UserError(f'the data set of {LOADER} has no image')
    return evenly_spaced(range(len(dataset)), number)


class TargetImages:
    """Evenly spaced images that a training adapts to, kept in main memory.

    They are those of the training set, as the pipeline of ``target_train_dataloader`` loads them
    for a prediction. They are kept as the network sees them, in uint8: 64 of Cityscapes at
    1024 x 512 take 100 MB.

    Args:
        cfg: resolved config.
        number: of images; all, where the data set has fewer.

    Attributes:
        paths: their files.

    Raises:
        UserError: the data set is empty.
    """

    def __init__(self, cfg: Config, number: int) -> None:
        described, trained_on = cfg[LOADER].dataset, cfg.train_dataloader.dataset
        # its images may have other names, or lie elsewhere
        within = [d for d in data_sets_in(trained_on) if 'pipeline' in d]
        own = [{**d, 'pipeline': described.pipeline} for d in within]
        if own:
            described = own[0] if len(own) == 1 else {'type': 'ConcatDataset', 'datasets': own}
        dataset = DATASETS.build(through_cache(described, uvpt_config(cfg).image_cache))
        shown = progress(chosen_images(dataset, number), 'reading images to select by', 'image')
        frames = [dataset[i] for i in shown]
        self._images = [frame['inputs'] for frame in frames]
        self._samples = [frame['data_samples'] for frame in frames]
        self.paths = [sample.get('img_path') for sample in self._samples]

    def sizes(self) -> list[tuple[int, int]]:
        """Return height and width of what `predict` gives of each image."""
        return [
            tuple(max(1, side // REDUCTION) for side in image.shape[1:]) for image in self._images
        ]

    def predict(self, model: nn.Module, augmented: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield label (h, w) uint8 and probabilities (C, h, w) float32 of each image, on the CPU.

        Args:
            model: a segmentor in eval mode, without a wrapper.
            augmented: whether probabilities are averaged over `SCALES`, each also flipped.
        """
        views = list(product(SCALES, (False, True))) if augmented else [(1.0, False)]
        batches = (self._batch(number, views) for number in range(len(self.paths)))
        for result in predict(model, batches):
            yield result.label.cpu(), result.logits.exp().cpu()

    def inputs(self, model: nn.Module, scale: float) -> Iterator[Tensor]:
        """Yield each image at a scale as the network is given it: (1, 3, H, W)."""
        for number in range(len(self.paths)):
            ((image,),), ((sample,),) = self._batch(number, [(scale, False)]).values()
            batch = {'inputs': [image], 'data_samples': [sample]}
            yield model.data_preprocessor(batch, False)['inputs']

    def _batch(self, number: int, views: Sequence[tuple[float, bool]]) -> dict[str, list]:
        """Return an image in views of a scale and flipped or not, as `predict` takes them."""
        image, size = self._images[number], self.sizes()[number]
        pairs = [_view(image, self._samples[number], size, scale, flip) for scale, flip in views]
        images, samples = zip(*pairs, strict=True)
        return {'inputs': [[x] for x in images], 'data_samples': [[x] for x in samples]}


def _view(
    image: Tensor, sample: SegDataSample, size: tuple[int, int], scale: float, flip: bool
) -> tuple[Tensor, SegDataSample]:
    """Return an image (3, H, W) at a scale, and a sample that asks for a result of a size."""
    if scale != 1:
        sides = tuple(max(1, round(side * scale)) for side in image.shape[1:])
        image = resized(image[None].float(), sides, align_corners=False)[0].round().to(torch.uint8)
    if flip:
        image = image.flip(2)
    about = {'img_path': sample.get('img_path'), 'ori_shape': size, 'img_shape': image.shape[1:]}
    about |= {'flip': flip, 'flip_direction': 'horizontal' if flip else None}
    return image, SegDataSample(metainfo=about)
