"""Whether tensors fit a model: translated to its names, and refused where they do not."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from mmseg_uvpt.checkpoints.names import (
    COMPUTED,
    LEAVE_ONE_OUT,
    added_names,
    is_adapted,
    is_added,
    names_in_source,
    to_ours,
)
from mmseg_uvpt.errors import UserError


def fit(model: nn.Module, state_dict: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """Translate a state dict for a model and make sure that it fits.

    Args:
        model: a segmentor; one whose backbone has prompts is an adapted model.
        state_dict: released or own names; for a source model also that of an adapted one whose
            tuner added no tensor.
        what: how to call the file in an error.

    Returns:
        dict: our names to tensors of the model's shapes.

    Raises:
        UserError: names the missing, unexpected and mis-shaped keys.
    """
    expected = model.state_dict()
    adapted = is_adapted(expected)
    leave_one_out = any(name.startswith(LEAVE_ONE_OUT) for name in expected)
    if not adapted and is_adapted(state_dict):
        if added_names(state_dict):
            raise UserError(
                f'{what} is an adapted model: it holds prompts, and the config describes a source '
                'model. Use the config of its adaptation (configs/uni_uvpt/).'
            )
        state_dict = source_tensors(state_dict, what)
    ours = to_ours(dict(state_dict), adapted, expected)
    if leave_one_out and not any(name.startswith(LEAVE_ONE_OUT) for name in ours):
        raise UserError(
            f'{what} holds no leave-one-out heads ({LEAVE_ONE_OUT}0 to 5), and the config '
            'describes generalise-then-adapt (type SourceGtA). Use a config of standard single '
            'source, configs/pretrain/sss_*.py, or one of adaptation.'
        )
    if adapted and not is_adapted(state_dict):
        raise UserError(
            f'{what} is a source model: it holds no prompts, and the config describes an adapted '
            'model. Test it with the config of its pretraining (configs/pretrain/), or adapt it: '
            'python train.py <config> --source-checkpoint <file>.'
        )
    cure = ''
    if adapted and set(filter(is_added, ours)) != set(filter(is_added, expected)):
        cure = ' Its tuner has to be that of its training: --cfg-options model.tuner.type=NAME'
    return checked(expected, ours, what, cure)


def checked(
    expected: Mapping[str, Tensor], ours: dict[str, Tensor], what: str, cure: str = ''
) -> dict[str, Tensor]:
    """Return tensors by our names in the shapes that are expected.

    Args:
        expected: a model's, or those of a part of it.
        ours: of a file.
        what: how to call the file in an error.
        cure: ends the error.

    Raises:
        UserError: names or shapes differ.
    """
    classifier = 'decode_head.conv_seg.weight'
    if classifier in expected and classifier in ours:
        wanted, held = len(expected[classifier]), len(ours[classifier])
        if wanted != held:
            raise UserError(
                f'{what} has a head of {held} classes, the config one of {wanted} '
                '(model.decode_head.num_classes)'
            )
    lines = differences(expected, ours)
    if lines:
        raise UserError(f'{what} does not fit the model. {"; ".join(lines)}.{cure}')
    return {name: tensor.reshape(expected[name].shape) for name, tensor in ours.items()}


def differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """Say how two state dicts differ in names and shapes.

    Returns:
        list: a line for missing and unexpected names, and for those of another shape or kind of
        number, each naming at most six; empty if they fit. Buffers that are computed when a model
        is built are not missed.
    """
    missing = [k for k in expected if k not in found and not COMPUTED.match(k)]
    unexpected = [k for k in found if k not in expected]
    shaped = [
        f'{k} {_shape(found[k])} instead of {_shape(expected[k])}'
        for k in expected
        if k in found
        and found[k].numel() + expected[k].numel() > 0
        and _shape(found[k]) != _shape(expected[k])
    ]
    typed = [
        f'{k} {found[k].dtype} instead of {expected[k].dtype}'
        for k in expected
        if k in found and expected[k].is_floating_point() > found[k].is_floating_point()
    ]
    kinds = (
        *(('missing', missing), ('unexpected', unexpected)),
        *(('of another shape', shaped), ('of another type', typed)),
    )
    return [f'{len(names)} {kind}: {some_of(names)}' for kind, names in kinds if names]


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """Return a tensor's shape; counters were saved both as scalars and as one-element vectors."""
    return () if tensor.numel() == 1 else tuple(tensor.shape)


def source_tensors(state_dict: Mapping[str, Tensor], what: str | Path) -> dict[str, Tensor]:
    """Return the tensors of the source model within a state dict, by the source model's names.

    An adapted model whose tuner added no tensor (statistics, head, norms, ...) is a source model,
    too; what its method has beside the network, as scale weights, is left out.

    Args:
        state_dict: of a source model or an adapted one, in released names or ours.
        what: names it in the error.

    Raises:
        UserError: a tuner added tensors.
    """
    refuse_added(state_dict, what)
    names = names_in_source(state_dict)
    return {names[name]: tensor for name, tensor in state_dict.items() if names[name]}


def refuse_added(state_dict: Mapping[str, Tensor], what: str | Path) -> None:
    """Raise a `UserError` where a tuner added tensors to a source model; see `source_tensors`."""
    if added := added_names(state_dict):
        raise UserError(
            f'{what} is an adapted model that holds more than a source model, {some_of(added)}: '
            'its tuner added them. Name the source model it was adapted from, or a model that '
            'was adapted by a tuner that adds nothing (docs/tuning.md)'
        )


def some_of(names: list[str]) -> str:
    """Return six names at most, and how many more there are."""
    rest = len(names) - 6
    return ', '.join(names[:6]) + (f' and {rest} more' if rest > 0 else '')
