"""Copies of what is trained: a teacher that follows, or a source model that stays."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trained(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what a training changes of an adapted segmentor: parameters, and statistics of norms.

    Those of frozen batch norms stay, so they are left out.
    """
    for prefix, module in model.named_modules():
        if not f'{prefix}.'.startswith(('backbone.', 'neck.', 'decode_head.')):
            continue
        own = list(module.named_parameters(prefix, recurse=False))
        yield from ((name, p) for name, p in own if p.requires_grad)
        frozen = prefix.startswith('backbone.staged') and not any(p.requires_grad for _, p in own)
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not frozen:
            yield from module.named_buffers(prefix, recurse=False)


class WeightCopy(nn.Module):
    """A copy of what is trained of a model.

    Its tensors are buffers that are not persistent: the state of a training, and no part of the
    model's files.
    """

    def take(self, model: nn.Module) -> None:
        """Copy the values as they are now."""
        for name, tensor in trained(model):
            buffer = name.replace('.', '/')  # a buffer's name has no dots
            self.register_buffer(buffer, tensor.detach().clone(), persistent=False)

    def tensors(self) -> dict[str, Tensor]:
        """Return the copies by the names of the model's tensors."""
        return {name.replace('/', '.'): tensor for name, tensor in self._buffers.items()}

    def in_files(self, model: nn.Module) -> dict[str, Tensor]:
        """Return the copies by their names in the model's state dict, which a tuner may change."""
        own = model.state_dict()
        with self.in_place_of_weights(model):
            found = model.state_dict()
        return {name: t for name, t in found.items() if t.data_ptr() != own[name].data_ptr()}

    @torch.no_grad()
    def follow(self, model: nn.Module, momentum: float) -> None:
        """Move each copy towards the model's tensor, by an exponential moving average:
        c <- momentum c + (1 - momentum) t.

        Counters take the model's value.
        """
        copies = self.tensors()
        for name, tensor in trained(model):
            if tensor.is_floating_point():
                copies[name].lerp_(tensor, 1 - momentum)
            else:
                copies[name].copy_(tensor)

    @contextmanager
    def in_place_of_weights(self, model: nn.Module) -> Iterator[None]:
        """Let a model compute with the copies, in eval mode and without gradients."""
        was_training, replaced = model.training, []
        for name, copy in self.tensors().items():
            module, _, attribute = name.rpartition('.')
            module = model.get_submodule(module)
            tensors = module._parameters if attribute in module._parameters else module._buffers
            replaced.append((tensors, attribute, tensors[attribute]))
            tensors[attribute] = copy
        try:
            with torch.no_grad():
                yield model.eval()
        finally:
            for tensors, attribute, tensor in replaced:
                tensors[attribute] = tensor
            model.train(was_training)
