"""The source model of generalise-then-adapt: one backbone, a global head, five leave-one-out heads.

After Kundu et al. (ICCV 2021), as the Uni-UVPT paper uses it.
"""

from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_uvpt.models.decode_heads.leave_one_out import (
    LEFT_OUT,
    build_heads,
    leave_one_out_losses,
)
from mmseg_uvpt.models.segmentors.source import Segmentor


@MODELS.register_module()
class SourceGtA(Segmentor):
    """A source model whose heads see different sets of augmentations.

    ``decode_head`` is the global one: it alone predicts, and adaptation takes it.
    ``decode_head_aug0`` to ``4`` each leave out one kind of augmentation. ``decode_head_aug5`` is
    the global head once more, under the name that released files also use.

    Args:
        decode_head: config of all heads.
        **kwargs: of mmseg's `EncoderDecoder`.
    """

    def __init__(self, decode_head: dict, **kwargs):
        super().__init__(decode_head=decode_head, **kwargs)
        for name, head in build_heads(decode_head).items():
            self.add_module(name, head)
        self.add_module(f'decode_head_aug{len(LEFT_OUT)}', self.decode_head)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Compute ``decode.loss_ce`` of the global head and the `leave_one_out_losses`.

        Args:
            inputs: (B, 3, H, W), augmented and normalised.
            data_samples: B samples with ``gt_sem_seg``.
        """
        features = self.extract_feat(inputs)
        losses = add_prefix(self.decode_head.loss(features, data_samples, self.train_cfg), 'decode')
        return losses | leave_one_out_losses(self, features, data_samples)
