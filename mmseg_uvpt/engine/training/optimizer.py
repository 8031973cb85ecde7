"""Parameter groups: a learning rate a part of the model, no weight decay for norms, few groups."""

from typing import NamedTuple

import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmseg_uvpt.models.tuners.tuner import NORMS, Tuner

# what `lr_mult` can name; the prompts are whatever the tuner adds, which may be nothing
GROUPS = ('prompts', 'head', 'scale_weights')
PARAMWISE = ('lr_mult', 'custom_keys', 'norm_decay_mult')


def group_of(model: nn.Module, name: str) -> str | None:
    """Return the group of `GROUPS` that a segmentor's parameter belongs to, if any."""
    if name.startswith(('decode_head', 'neck')):  # all heads, where there are several
        return 'head'
    if name.startswith('scale_weights'):
        return 'scale_weights'
    backbone = getattr(model, 'backbone', None)
    inner = name.removeprefix('backbone.')
    return 'prompts' if isinstance(backbone, Tuner) and backbone.is_added(inner) else None


class _Factor(NamedTuple):
    """A factor of the learning rate of a group's parameters, or of those that a name begins.

    ``entry`` is where it stands in ``paramwise_cfg``.
    """

    group: str | None
    start: str
    lr_mult: float
    entry: str


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FewGroupsConstructor(DefaultOptimWrapperConstructor):
    """One parameter group for each pair of learning rate and weight decay.

    Reads three entries of ``paramwise_cfg``. ``lr_mult`` has a factor of the learning rate for each
    of `GROUPS`, by names that a command line can write; None is as if it were not there. Two are
    mmengine's: ``custom_keys`` (beginnings of parameter names, for parts of a model of one's own;
    the longest that matches counts, each with ``lr_mult``) and ``norm_decay_mult``.
    mmengine's own constructor lets a custom key switch the rule for norms off, so that norms in
    the head and the prompts would decay, and makes a group of every tensor, so that AdamW cannot
    update several at once. Frozen parameters are in no group.
    """

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        """Append the groups of ``module`` to ``params``, in order of first appearance.

        Raises:
            ValueError: nothing is trained; an entry of ``paramwise_cfg`` is not read, or no number;
                a factor is that of no parameter of the model; ``custom_keys`` and ``lr_mult`` have
                one each.
        """
        factors = self._factors()
        groups: dict[tuple[float, float], list[torch.Tensor]] = {}
        used = set()
        for prefix, part in module.named_modules():
            is_norm = isinstance(part, NORMS)
            for name, parameter in part.named_parameters(prefix, recurse=False):
                group = group_of(module, name)
                matching = [
                    factor
                    for factor in factors
                    if (factor.group == group if factor.group else name.startswith(factor.start))
                ]
                entries = {factor.entry for factor in matching}
                used |= entries
                if len({entry.partition('.')[0] for entry in entries}) > 1:
                    raise ValueError(
                        f'paramwise_cfg has two factors for {name}, {" and ".join(sorted(entries))}'
                        ': set one of them to None'
                    )
                if not parameter.requires_grad:
                    continue
                longest = max(matching, key=lambda factor: len(factor.start), default=None)
                lr_mult = longest.lr_mult if longest else 1
                decay = self.paramwise_cfg.get('norm_decay_mult', 1) if is_norm else 1
                rates = (self.base_lr * lr_mult, self.base_wd * decay)
                groups.setdefault(rates, []).append(parameter)
        unused = {factor.entry for factor in factors} - used
        if isinstance(getattr(module, 'backbone', None), Tuner):
            unused -= {'lr_mult.prompts'}
        if unused:
            raise ValueError(
                f'paramwise_cfg: the model has no parameter for {", ".join(sorted(unused))}'
            )
        if not groups:
            raise ValueError(
                f'{type(module).__name__} trains nothing with this tuner: model.tuner.type names '
                'another one; AdaBN renews statistics without training'
            )
        for (lr, weight_decay), parameters in groups.items():
            params.append({'params': parameters, 'lr': lr, 'weight_decay': weight_decay})

    def _factors(self) -> list[_Factor]:
        found = []
        for key, options in (self.paramwise_cfg.get('custom_keys') or {}).items():
            if options is not None:
                if set(options) - {'lr_mult'}:
                    raise ValueError(
                        f'custom_keys has {key!r}: {dict(options)}, of which lr_mult alone is '
                        'read. A key with dots stands in a config file only; on a command line '
                        f'there is paramwise_cfg.lr_mult.NAME, one of {", ".join(GROUPS)}'
                    )
                found.append(_Factor(None, key, options.get('lr_mult', 1), f'custom_keys.{key}'))
        for group, factor in (self.paramwise_cfg.get('lr_mult') or {}).items():
            if factor is not None:
                found.append(_Factor(group, '', factor, f'lr_mult.{group}'))
        for factor in found:
            if not isinstance(factor.lr_mult, int | float):
                raise ValueError(f'{factor.entry}: {factor.lr_mult!r} is no number')
        return found

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        factors = self.paramwise_cfg.get('lr_mult') or {}
        unread = [key for key in self.paramwise_cfg if key not in PARAMWISE]
        unread += [f'lr_mult.{group}' for group in factors if group not in GROUPS]
        if unread:
            raise ValueError(
                f'paramwise_cfg.{unread[0]} is not read: there are {", ".join(PARAMWISE)}, and in '
                f'lr_mult {", ".join(GROUPS)}'
            )
