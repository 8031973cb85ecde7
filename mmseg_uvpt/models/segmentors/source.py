"""The source model: a staged backbone and a head, trained on labelled source images."""

from collections.abc import Callable, Sequence

from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_uvpt.ops.resizing import unpadded


class Segmentor(EncoderDecoder):
    """mmseg's `EncoderDecoder` that predicts batches of images of any sizes.

    ``before_loading`` are called with (segmentor, state dict, prefix of its names) before any
    state dict is loaded: who reads files translates names there, and refuses what does not fit.
    """

    before_loading: tuple[Callable, ...] = ()

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for hook in Segmentor.before_loading:
            self._register_load_state_dict_pre_hook(hook, with_module=True)

    def extract_feat(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Return what the head is given of images (B, 3, H, W)."""
        features = self.backbone(inputs)
        return self.run_neck(features, inputs.shape[2:]) if self.with_neck else features

    def run_neck(self, features: tuple[Tensor, ...], size: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the neck's maps of images of a size (height, width), without their padding."""
        staged = getattr(self.backbone, 'staged', self.backbone)
        patch = getattr(staged, 'patch', 1)  # a backbone without stages pads no image
        return tuple(unpadded(x, size, patch) for x in self.neck(features))

    def test_step(self, data: dict) -> list[SegDataSample]:
        """Return the samples with ``pred_sem_seg`` of images (3, H, W) and their samples."""
        pairs = zip(data['inputs'], data['data_samples'], strict=True)
        batches = [{'inputs': [image], 'data_samples': [sample]} for image, sample in pairs]
        return [sample for batch in batches for sample in super(Segmentor, self).test_step(batch)]

    val_step = test_step


def head_parts(segmentor: nn.Module) -> list[nn.Module]:
    """Return the head of a segmentor, and its neck if it has one."""
    return [segmentor.decode_head, *([segmentor.neck] if segmentor.with_neck else [])]


def norms_of_head(segmentor: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the batch norms of a segmentor's head and neck that keep statistics."""
    return _batch_norms(head_parts(segmentor))


def norms_of_source(segmentor: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the batch norms of its source model that keep statistics, none of a tuner's."""
    staged = getattr(segmentor.backbone, 'staged', segmentor.backbone)
    return _batch_norms([staged, *head_parts(segmentor)])


def _batch_norms(parts: list[nn.Module]) -> list[nn.modules.batchnorm._BatchNorm]:
    modules = (module for part in parts for module in part.modules())
    norms = (m for m in modules if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return [norm for norm in norms if norm.running_mean is not None]


@MODELS.register_module()
class SourceSegmentor(Segmentor):
    """The source model."""
