"""Parameter groups: a learning rate a part of the model, no weight decay for norms, few groups."""

import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FewGroupsConstructor(DefaultOptimWrapperConstructor):
    """One parameter group for each pair of learning rate and weight decay.

    Reads two entries of mmengine's ``paramwise_cfg``: ``custom_keys`` (beginnings of parameter
    names, the longest that matches counts, each with ``lr_mult``) and ``norm_decay_mult``.
    mmengine's own constructor lets a custom key switch the rule for norms off, so that norms in
    the head and the prompts would decay, and makes a group of every tensor, so that AdamW cannot
    update several at once. Frozen parameters are in no group.
    """

    def add_params(self, params: list[dict], module: nn.Module, **_) -> None:
        """Append the groups of ``module`` to ``params``, in order of first appearance.

        Raises:
            ValueError: a custom key matches no parameter of the model.
        """
        keys = self.paramwise_cfg.get('custom_keys', {})
        groups: dict[tuple[float, float], list[torch.Tensor]] = {}
        unused = set(keys)
        for prefix, part in module.named_modules():
            is_norm = isinstance(part, _NORMS)
            for name, parameter in part.named_parameters(prefix, recurse=False):
                matching = [key for key in keys if name.startswith(key)]
                unused.difference_update(matching)
                if not parameter.requires_grad:
                    continue
                lr_mult = keys[max(matching, key=len)].get('lr_mult', 1) if matching else 1
                decay = self.paramwise_cfg.get('norm_decay_mult', 1) if is_norm else 1
                rates = (self.base_lr * lr_mult, self.base_wd * decay)
                groups.setdefault(rates, []).append(parameter)
        if unused:
            raise ValueError(f'custom_keys {sorted(unused)} match no parameter of the model')
        for (lr, weight_decay), parameters in groups.items():
            params.append({'params': parameters, 'lr': lr, 'weight_decay': weight_decay})
