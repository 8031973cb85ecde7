"""The target images that are labelled, and what a model predicts of some of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.dist import get_world_size, is_main_process
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from torch import nn
from torch.utils.data import SequentialSampler

from mmseg_uvpt.correction.pseudo_label_files import TargetFrame
from mmseg_uvpt.datasets.loader_workers import inference_loader
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.engine.inference.result import Result
from mmseg_uvpt.progress import progress


@dataclass(frozen=True)
class TargetFrames:
    """A data set with its frames, and the model that labels it.

    Attributes:
        loader: config of the data loader; its data set and sampler are not used.
        dataset: of the images.
        frames: one of each image, in the order of the data set.
        model: as `accelerated_model` returns it.
    """

    loader: dict
    dataset: BaseSegDataset
    frames: list[TargetFrame]
    model: nn.Module

    def predict(self, numbers: list[int], doing: str) -> Iterator[tuple[TargetFrame, Result]]:
        """Predict some of the frames.

        Args:
            numbers: of the frames, this process's share.
            doing: what for, as rank 0's progress bar says it.

        Yields:
            tuple: each frame with its result.
        """
        if not numbers:
            return
        subset = self.dataset.get_subset(numbers)
        # the config's sampler would deal the frames out to the processes once more
        own = {'dataset': subset, 'sampler': SequentialSampler(subset)}
        loader = Runner.build_dataloader({**inference_loader(self.loader), **own})
        results = predict(self.model, loader, self.dataset.metainfo)
        if is_main_process():
            processes = get_world_size()
            title = f'{doing}, one of {processes} shares' if processes > 1 else doing
            results = progress(results, title, 'frame', len(numbers))
        yield from zip((self.frames[i] for i in numbers), results, strict=True)
