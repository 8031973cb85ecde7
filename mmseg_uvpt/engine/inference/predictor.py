"""A model that is called with images."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from numbers import Integral
from pathlib import Path

import numpy as np
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.datasets.files.image_files import naming
from mmseg_uvpt.engine.config.classes import meta_of
from mmseg_uvpt.engine.config.pipelines import without_resizing
from mmseg_uvpt.engine.config.required import require_file
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.engine.inference.model import accelerated_model
from mmseg_uvpt.engine.inference.result import Result, temperature_in
from mmseg_uvpt.engine.inference.sources import (
    Picture,
    Video,
    images_in,
    is_video,
    no_image,
    picture,
)
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.processes import share_of_processors

_AHEAD = 8  # images that are loaded while others are predicted


class Predictor:
    """A source model or an adapted one, as a test predicts with it.

    Args:
        cfg: resolved config, whose test pipeline, classes and palette are used.
        checkpoint: that fits it.
        device: to predict on; None for a GPU if there is one.
        full_size: whether the network sees images at their own size, not as the config resizes.
        amp: whether it computes in half precision; None as the config says.

    Attributes:
        classes: their names, in the order of their ids.
        palette: R, G, B of each.
        model: the segmentor, in eval mode.
        cfg, checkpoint: what it is made of.

    Raises:
        UserError: the checkpoint is missing, or does not fit; the temperature is out of range.
    """

    def __init__(
        self,
        cfg: Config,
        checkpoint: str | Path,
        device: str | None = None,
        full_size: bool = False,
        amp: bool | None = None,
    ) -> None:
        require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
        init_default_scope('mmseg')
        if amp is not None:
            cfg.merge_from_dict({'uvpt.amp': amp})
        self.meta: Mapping = meta_of(cfg.test_dataloader.dataset)
        self.classes, self.palette = tuple(self.meta['classes']), self.meta['palette']
        self.model = accelerated_model(
            cfg, str(checkpoint), self.classes, 'test_dataloader', device
        )
        temperature_in(self.model.test_cfg or {})  # raises here, not at the first image
        self.cfg, self.checkpoint = cfg, str(checkpoint)
        steps = cfg.test_dataloader.dataset.pipeline
        self._pipeline = Compose(without_resizing(steps) if full_size else steps)

    def __call__(self, images: object, batch_size: int = 1) -> Result | list[Result] | Iterator:
        """Predict one image, or many.

        Args:
            images: an image: path, of Pillow, or array (H, W, 3) of uint8 in OpenCV's order B, G,
                R; or a list of these, of any sizes; or a folder; or a video: a file, an address
                that OpenCV reads, or the number of a camera; or any iterable of images.
            batch_size: images that a GPU is given at once where they have one size. It does not
                change what is predicted.

        Returns:
            Result: of an image; a list of them of a list, which holds 40 MB for each Cityscapes
            frame; of all else an iterator, which predicts while it is read and keeps nothing.

        Raises:
            UserError: an image cannot be read; a folder or video has none.
        """
        is_number = isinstance(batch_size, Integral) and not isinstance(batch_size, bool)
        if not is_number or batch_size < 1:
            raise UserError(f'batch_size={batch_size!r}: must be a number of images, 1 or more')
        if isinstance(images, str) and not images:
            raise UserError('an empty name is no image: name one, a folder of images or a video')
        if is_video(images):
            return self.results(Video(images), batch_size)
        if isinstance(images, str | Path) and Path(images).is_dir():
            if not (paths := images_in(Path(images))):
                raise no_image(images)
            return self.results(paths, batch_size)
        if isinstance(images, str | Path | Image.Image | np.ndarray):
            return next(self.results([images], 1))
        if not isinstance(images, Iterable):
            picture(images)  # raises
        found = self.results(images, batch_size)
        return list(found) if isinstance(images, list | tuple) else found

    def results(self, images: Iterable, batch_size: int = 1) -> Iterator[Result]:
        """Yield the result of each image, in their order; threads load those that follow."""
        is_live = isinstance(images, Video) and images.is_live
        frames = self._loaded(map(picture, images), 1 if is_live else _AHEAD)
        while batch := list(islice(frames, batch_size)):
            yield from predict(self.model, [pseudo_collate(batch)], self.meta)

    def _loaded(self, pictures: Iterator[Picture], ahead: int) -> Iterator[dict]:
        threads, failed = min(ahead, share_of_processors()), None
        waiting: deque = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix='reader') as pool:
            try:
                while failed is None:
                    try:
                        found = next(pictures, None)
                    except Exception as error:  # what was given before it comes first
                        failed, found = error, None
                    if found is None:
                        break
                    waiting.append(pool.submit(self._load, found))
                    if len(waiting) > threads:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)
        if failed is not None:
            raise failed

    def _load(self, found: Picture) -> dict:
        with naming(found.name, found.pixels):
            frame = self._pipeline(found.for_pipeline())
        if found.pixels is not None:
            samples = frame['data_samples']
            for sample in samples if isinstance(samples, list) else [samples]:
                sample.set_metainfo({'pixels': found.pixels})
        return frame

    def save_pretrained(self, folder: str | Path, **about: object) -> None:
        """Write weights, config and a model card, see `sharing.pretrained.save_pretrained`."""
        from mmseg_uvpt.engine.sharing import pretrained

        pretrained.save_pretrained(self, folder, **about)

    def push_to_hub(self, repository: str, private: bool = True, **about: object) -> str:
        """Upload the same to the Hugging Face hub, see `sharing.pretrained.push_to_hub`."""
        from mmseg_uvpt.engine.sharing import pretrained

        return pretrained.push_to_hub(self, repository, private, **about)
