"""The one place that translates parameter names of released checkpoints to ours, and back.

Released names of the staged backbones are kept inside `StagedSwin` and `StagedMiT`, so only the
prompts, their place beside the backbone, and the scale weights are named anew. And two released
layers are one of ours: what computes the sampling offsets, and what computes the attention weights.
"""

import re
from collections.abc import Iterable

import torch
from torch import Tensor

_STAGED, _ADAPTERS = 'backbone.staged.', 'backbone.adapters.'
# Beginnings of names, released and ours, {} a number. The first that fits counts; one that ends
# without a dot is a whole name.
_BEGINNINGS = [
    ('weight', 'scale_weights'),
    ('backbone.level_embed', 'backbone.level_embedding'),
    ('backbone.spm.fc1.', 'backbone.generator.projections.0.'),
    ('backbone.spm.fc2.', 'backbone.generator.projections.1.'),
    ('backbone.spm.fc3.', 'backbone.generator.projections.2.'),
    ('backbone.spm.', 'backbone.generator.'),
    ('backbone.interactions.{}.up_layer1.', 'backbone.adapters.{}.carry.0.'),
    ('backbone.interactions.{}.up_layer2.', 'backbone.adapters.{}.carry.1.'),
    ('backbone.interactions.{}.up_layer3.', 'backbone.adapters.{}.carry.2.'),
    (
        'backbone.interactions.{}.extractor.ffn.dwconv.dwconv.',
        'backbone.adapters.{}.extractor.ffn.dwconv.',
    ),
    ('backbone.interactions.', 'backbone.adapters.'),
    ('backbone.', _STAGED),
]

# in released files but without effect on any prediction; a model of source-GtA holds the first kind
LEAVE_ONE_OUT, AUXILIARY = 'decode_head_aug', 'auxiliary_head.'
UNUSED = (LEAVE_ONE_OUT, AUXILIARY)
# computed when the model is built
COMPUTED = re.compile(r'.*\.relative_position_index$|.*\.num_batches_tracked$')

_OFFSETS, _LOGITS, _MERGED = '.sampling_offsets.', '.attention_weights.', '.sampling.'


def _rule(found: str, wanted: str) -> tuple[re.Pattern, str]:
    """Return a pattern for names that begin with ``found``, and what to put in its place."""
    pattern = re.escape(found).replace(r'\{\}', r'(\d+)') + ('' if found.endswith('.') else '$')
    return re.compile(pattern), wanted.replace('{}', r'\1')


_TO_OURS = [_rule(released, ours) for released, ours in _BEGINNINGS]
_TO_RELEASED = [_rule(ours, released) for released, ours in _BEGINNINGS]
_OURS = re.compile(r'backbone\.(staged\.|generator\.|adapters\.|level_embedding$)')
_OF_ADAPTED = re.compile(r'(module\.)?backbone\.(staged|generator|adapters|spm|interactions)\.')


def _renamed(name: str, rules: list[tuple[re.Pattern, str]]) -> str:
    for pattern, replacement in rules:
        if pattern.match(name):
            return pattern.sub(replacement, name, count=1)
    return name


def is_adapted(names: Iterable[str]) -> bool:
    """Tell whether a state dict, in released names or ours, is that of an adapted model."""
    return any(_OF_ADAPTED.match(name) for name in names)


def names_in_source(names: Iterable[str]) -> dict[str, str | None]:
    """Return what the source model calls each tensor of an adapted model; None: it has none.

    Args:
        names: released or ours. Those of a source model are given back as they are.
    """
    plain = {name: name.removeprefix('module.') for name in names}
    if not is_adapted(plain):
        return dict(plain)
    ours = _to_our_names(plain.values())
    return {name: _name_in_source(known) for name, known in zip(plain, ours, strict=True)}


def is_added(name: str) -> bool:
    """Tell whether a tensor of an adapted model, by our name, is one that its tuner adds."""
    return name.startswith('backbone.') and not name.startswith(_STAGED)


def added_names(names: Iterable[str]) -> list[str]:
    """Return our names of what a tuner added to the source model; none of a source model.

    Args:
        names: of a state dict, released or ours.
    """
    plain = [name.removeprefix('module.') for name in names]
    return [name for name in _to_our_names(plain) if is_added(name)] if is_adapted(plain) else []


def _name_in_source(name: str) -> str | None:
    if is_added(name) or name.startswith('scale_weights'):
        return None
    return name.replace(_STAGED, 'backbone.', 1) if name.startswith(_STAGED) else name


def _to_our_names(names: Iterable[str]) -> list[str]:
    """Return our names of those of an adapted model, of which a tuner may have any."""
    names = list(names)
    if any(name.startswith(_STAGED) for name in names):
        return names
    return [name if _OURS.match(name) else _renamed(name, _TO_OURS) for name in names]


def to_ours(
    state_dict: dict[str, Tensor], prompted: bool, held: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Translate a released or own state dict to the names of our models.

    Args:
        state_dict: names to tensors; a ``module.`` prefix is taken off, own names stay as they are.
        prompted: whether the model has prompts (its staged backbone is then at
            ``backbone.staged``).
        held: names of the model's own state dict. Of `UNUSED` all is left out that it has none of.

    Returns:
        dict: our names to the same tensors, without what no model of ours holds.
    """
    held = tuple(held)
    unused = tuple(part for part in UNUSED if not any(name.startswith(part) for name in held))
    plain = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
    plain = {name: tensor for name, tensor in plain.items() if not name.startswith(unused)}
    names = _to_our_names(plain) if prompted else plain
    return _merged(dict(zip(names, plain.values(), strict=True)))


def to_released(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate our state dict, of a source or an adapted model, to released names."""
    return {_renamed(name, _TO_RELEASED): tensor for name, tensor in _split(state_dict).items()}


def _merged(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Join each layer of sampling offsets (x, y of each sample) with that of its logits."""
    merged = {}
    for name, tensor in state_dict.items():
        offsets = name.replace(_LOGITS, _OFFSETS)
        logits = name.replace(_OFFSETS, _LOGITS)
        ours = name.startswith(_ADAPTERS) and offsets != logits
        both = ours and offsets in state_dict and logits in state_dict
        if both and _belong_together(state_dict[offsets], state_dict[logits]):
            pairs = state_dict[offsets].unflatten(0, (-1, 2))
            threes = torch.cat([pairs, state_dict[logits].unsqueeze(1)], dim=1)
            merged[offsets.replace(_OFFSETS, _MERGED)] = threes.flatten(0, 1)
        else:
            merged[name] = tensor
    return merged


def _belong_together(offsets: Tensor, logits: Tensor) -> bool:
    """Tell whether two tensors of a file, which may hold anything, are two and one of each row."""
    rows = logits.shape[0] if logits.ndim else 0
    return rows > 0 and offsets.shape == (2 * rows, *logits.shape[1:])


def _split(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Undo `_merged`."""
    split = {}
    for name, tensor in state_dict.items():
        ours = name.startswith(_ADAPTERS) and _MERGED in name
        if ours and tensor.ndim and tensor.shape[0] and tensor.shape[0] % 3 == 0:
            threes = tensor.unflatten(0, (-1, 3))
            split[name.replace(_MERGED, _OFFSETS)] = threes[:, :2].flatten(0, 1)
            split[name.replace(_MERGED, _LOGITS)] = threes[:, 2]
        else:
            split[name] = tensor
    return split
