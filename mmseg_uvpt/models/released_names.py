"""The one place that translates parameter names of released checkpoints to ours, and back.

Released names of the staged backbones are kept inside `StagedSwin` and `StagedMiT`, so only the
prompts, their place beside the backbone, and the scale weights are named anew.
"""

import re

from torch import Tensor

# (pattern in a released name, pattern in ours); tried in this order, the first match counts
_PROMPTED = [
    (r'weight$', 'scale_weights'),
    (r'backbone\.level_embed$', 'backbone.level_embedding'),
    (r'backbone\.spm\.fc1\.', 'backbone.generator.projections.0.'),
    (r'backbone\.spm\.fc2\.', 'backbone.generator.projections.1.'),
    (r'backbone\.spm\.fc3\.', 'backbone.generator.projections.2.'),
    (r'backbone\.spm\.', 'backbone.generator.'),
    (r'backbone\.interactions\.(\d+)\.up_layer1\.', r'backbone.adapters.\1.carry.0.'),
    (r'backbone\.interactions\.(\d+)\.up_layer2\.', r'backbone.adapters.\1.carry.1.'),
    (r'backbone\.interactions\.(\d+)\.up_layer3\.', r'backbone.adapters.\1.carry.2.'),
    (
        r'backbone\.interactions\.(\d+)\.extractor\.ffn\.dwconv\.dwconv\.',
        r'backbone.adapters.\1.extractor.ffn.dwconv.',
    ),
    (r'backbone\.interactions\.', 'backbone.adapters.'),
    (r'backbone\.(?!staged\.|generator\.|adapters\.|level_embedding$)', 'backbone.staged.'),
]

# in released files but without effect on any output
UNUSED = re.compile(r'decode_head_aug\d+\.|auxiliary_head\.')
# computed when the model is built
COMPUTED = re.compile(r'.*\.relative_position_index$|.*\.num_batches_tracked$')


def to_ours(state_dict: dict[str, Tensor], prompted: bool) -> dict[str, Tensor]:
    """Translate a released or own state dict to the names of our models.

    Args:
        state_dict: names to tensors; a ``module.`` prefix is taken off, own names stay as they are.
        prompted: whether the model has prompts (its staged backbone is then at
            ``backbone.staged``).

    Returns:
        dict: our names to the same tensors, without what no model of ours holds.
    """
    translated = {}
    for name, tensor in state_dict.items():
        name = name.removeprefix('module.')
        if UNUSED.match(name):
            continue
        translated[_to_our_name(name) if prompted else name] = tensor
    return translated


def _to_our_name(name: str) -> str:
    for pattern, ours in _PROMPTED:
        if re.match(pattern, name):
            return re.sub(pattern, ours, name, count=1)
    return name


_TO_RELEASED = [
    (r'scale_weights$', 'weight'),
    (r'backbone\.staged\.', 'backbone.'),
    (r'backbone\.level_embedding$', 'backbone.level_embed'),
    (r'backbone\.generator\.projections\.0\.', 'backbone.spm.fc1.'),
    (r'backbone\.generator\.projections\.1\.', 'backbone.spm.fc2.'),
    (r'backbone\.generator\.projections\.2\.', 'backbone.spm.fc3.'),
    (r'backbone\.generator\.', 'backbone.spm.'),
    (r'backbone\.adapters\.(\d+)\.carry\.0\.', r'backbone.interactions.\1.up_layer1.'),
    (r'backbone\.adapters\.(\d+)\.carry\.1\.', r'backbone.interactions.\1.up_layer2.'),
    (r'backbone\.adapters\.(\d+)\.carry\.2\.', r'backbone.interactions.\1.up_layer3.'),
    (
        r'backbone\.adapters\.(\d+)\.extractor\.ffn\.dwconv\.',
        r'backbone.interactions.\1.extractor.ffn.dwconv.dwconv.',
    ),
    (r'backbone\.adapters\.', 'backbone.interactions.'),
]


def to_released(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate our state dict, of a source or an adapted model, to released names."""
    return {_to_released_name(name): tensor for name, tensor in state_dict.items()}


def _to_released_name(name: str) -> str:
    for pattern, released in _TO_RELEASED:
        if re.match(pattern, name):
            return re.sub(pattern, released, name, count=1)
    return name
