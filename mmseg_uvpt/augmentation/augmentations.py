"""The seven augmentations of generalise-then-adapt pretraining, and which head leaves which out.

Each takes and gives images in one form: float32 (B, 3, H, W), RGB in 0..1. One is drawn for a batch
where the batch is put together, in a loader's worker; what is quick on the CPU happens there too,
what a network does happens on the model's device, and nothing else is computed.
"""

from collections.abc import Sequence

# the head that gets no loss from a batch under the augmentation; the others and the global head do
LEFT_OUT = {
    'fda_random': 0,
    'fda_style': 0,
    'style_randomisation': 1,
    'adain': 2,
    'snow': 3,
    'frost': 3,
    'cartoon': 4,
}
CORRUPTIONS = ('snow', 'frost', 'cartoon')
WITH_STYLE_IMAGE = {'adain': 'shorter side', 'fda_style': 'square'}  # and how that is resized
HEADS = 5  # that leave something out


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of augmentations.

    Raises:
        ValueError: they are no list, there are none, or one is unknown.
    """
    if not isinstance(names, list | tuple) or not names or set(names) - set(LEFT_OUT):
        raise ValueError(f'augmentations={names!r}: list at least one of {", ".join(LEFT_OUT)}')
    return tuple(names)
