"""The seven augmentations of generalise-then-adapt pretraining.

Each takes and gives images in one form: float32 (B, 3, H, W), RGB in 0..1. One is drawn for a batch
where the batch is put together (`augmented_collate`), in a loader's worker; what is quick on the
CPU happens there too, what a network does happens on the model's device, and nothing else is
computed.
"""

from collections.abc import Sequence

from mmseg_uvpt.models.decode_heads.leave_one_out import LEFT_OUT

AUGMENTATIONS = tuple(name for names in LEFT_OUT for name in names)
CORRUPTIONS = ('snow', 'frost', 'cartoon')
WITH_STYLE_IMAGE = {'adain': 'shorter side', 'fda_style': 'square'}  # and how that is resized


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of augmentations.

    Raises:
        ValueError: they are no list, there are none, or one is unknown.
    """
    if not isinstance(names, list | tuple) or not names or set(names) - set(AUGMENTATIONS):
        raise ValueError(
            f'augmentations={names!r}: list at least one of {", ".join(AUGMENTATIONS)}'
        )
    return tuple(names)
