"""The source model of generalise-then-adapt: one backbone, a global head, five leave-one-out heads.

After Kundu et al., "Generalize then Adapt: Source-Free Domain Adaptive Semantic Segmentation"
(ICCV 2021), as the Uni-UVPT paper uses it.
"""

from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor

from mmseg_uvpt.augmentation.augmentations import HEADS, LEFT_OUT
from mmseg_uvpt.models.segmentors.source import SourceSegmentor


@MODELS.register_module()
class SourceGtA(SourceSegmentor):
    """A source model whose heads see different sets of augmentations.

    ``decode_head`` is the global one: it alone predicts, and adaptation takes it.
    ``decode_head_aug0`` to ``4`` each get no loss from the batches of one kind of augmentation.
    ``decode_head_aug5`` is the global head once more, under the name that released files also use;
    where a file's two differ, ``decode_head`` counts.

    Args:
        decode_head: config of all heads.
        **kwargs: of `SourceSegmentor`.
    """

    def __init__(self, decode_head: dict, **kwargs):
        super().__init__(decode_head=decode_head, **kwargs)
        for number in range(HEADS):
            setattr(self, f'decode_head_aug{number}', MODELS.build(decode_head))
        setattr(self, f'decode_head_aug{HEADS}', self.decode_head)

    def _translate(self, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
        super()._translate(state_dict, prefix)
        alias = f'{prefix}decode_head_aug{HEADS}.'
        for name in [name for name in state_dict if name.startswith(alias)]:
            state_dict[name] = state_dict[f'{prefix}decode_head.{name.removeprefix(alias)}']

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Compute the losses of all heads but the one that the batch's augmentation leaves out.

        Args:
            inputs: (B, 3, H, W), augmented and normalised.
            data_samples: B samples with ``gt_sem_seg``; their metainfo ``augmentation`` names what
                the batch was augmented by. Without it, every head gets a loss.

        Returns:
            dict: ``decode.loss_ce`` of the global head, ``decode_aug{i}.loss_ce`` of the others,
            and the accuracies.
        """
        left_out = LEFT_OUT.get(data_samples[0].metainfo.get('augmentation'))
        features = self.extract_feat(inputs)
        losses = add_prefix(self.decode_head.loss(features, data_samples, self.train_cfg), 'decode')
        for number in range(HEADS):
            if number != left_out:
                head = getattr(self, f'decode_head_aug{number}')
                found = head.loss(features, data_samples, self.train_cfg)
                losses.update(add_prefix(found, f'decode_aug{number}'))
        return losses
