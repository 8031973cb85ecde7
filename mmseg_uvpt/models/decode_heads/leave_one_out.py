"""The leave-one-out heads of generalise-then-adapt, and what each leaves out.

After Kundu et al., "Generalize then Adapt: Source-Free Domain Adaptive Semantic Segmentation"
(ICCV 2021): each head gets no loss from the batches of one kind of augmentation.
"""

from mmseg.registry import MODELS
from mmseg.utils import add_prefix
from torch import Tensor, nn

# of each head, the augmentations that it leaves out
LEFT_OUT = (
    *(('fda_random', 'fda_style'), ('style_randomisation',), ('adain',)),
    *(('snow', 'frost'), ('cartoon',)),
)


def build_heads(config: dict) -> dict[str, nn.Module]:
    """Build the heads from the config of the global one; return them by their released names."""
    return {f'decode_head_aug{number}': MODELS.build(config) for number in range(len(LEFT_OUT))}


def losses_of_heads(
    segmentor: nn.Module, features: tuple[Tensor, ...], data_samples: list
) -> dict[str, Tensor]:
    """Compute losses ``decode_aug{i}.loss_ce`` of the heads that a batch's augmentation trains.

    The metainfo ``augmentation`` of its samples names it. Without it, every head gets a loss.
    """
    augmentation = data_samples[0].metainfo.get('augmentation')
    losses = {}
    for number, left_out in enumerate(LEFT_OUT):
        if augmentation not in left_out:
            head = getattr(segmentor, f'decode_head_aug{number}')
            found = head.loss(features, data_samples, segmentor.train_cfg)
            losses.update(add_prefix(found, f'decode_aug{number}'))
    return losses
