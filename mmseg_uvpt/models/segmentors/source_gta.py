"""The source model of generalise-then-adapt: one backbone, a global head, five leave-one-out heads.

After Kundu et al. (ICCV 2021), as the Uni-UVPT paper uses it.
"""

from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_uvpt.models.decode_heads import leave_one_out
from mmseg_uvpt.models.segmentors.source import Segmentor


@MODELS.register_module()
class SourceGtA(Segmentor):
    """A source model whose heads see different sets of augmentations.

    ``decode_head`` is the global one: it alone predicts, and adaptation takes it.
    ``decode_head_aug0`` to ``4`` each leave out one kind of augmentation. ``decode_head_aug5`` is
    the global head once more, under the name that released files also use.
    """

    def __init__(self, decode_head: dict, **kwargs):
        super().__init__(decode_head=decode_head, **kwargs)
        for name, head in leave_one_out.build_heads(decode_head).items():
            self.add_module(name, head)
        self.add_module(f'decode_head_aug{len(leave_one_out.LEFT_OUT)}', self.decode_head)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Compute ``decode.loss_ce`` of the global head and `leave_one_out.losses_of_heads`.

        Inputs are augmented and normalised, (B, 3, H, W); samples have ``gt_sem_seg``.
        """
        features = self.extract_feat(inputs)
        losses = add_prefix(self.decode_head.loss(features, data_samples, self.train_cfg), 'decode')
        if self.with_auxiliary_head:
            losses |= self._auxiliary_head_forward_train(features, data_samples)
        return losses | leave_one_out.losses_of_heads(self, features, data_samples)
