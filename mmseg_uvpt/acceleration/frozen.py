"""Layers whose weights are not trained, at the cost of the arithmetic alone.

PyTorch saves the input of a convolution for a weight's gradient that nobody asks for, and autocast
casts a frozen weight in every call, since it remembers casts of trainable ones only. Here neither
happens. Parameters, and so checkpoints, stay in float32 as they are.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmseg_uvpt.acceleration.capture import read_by_graph
from mmseg_uvpt.acceleration.depthwise import runs_shifted, shifted
from mmseg_uvpt.ops.backends import autocast_type


def is_frozen(module: nn.Module) -> bool:
    """Tell whether a module has no trainable parameter, and no hook, which may bring some."""
    hooks = (m._forward_hooks or m._forward_pre_hooks for m in module.modules())
    return not (any(p.requires_grad for p in module.parameters()) or any(hooks))


def cache_cast_weights(module: nn.Module, dtype: torch.dtype) -> list:
    """Cast the frozen weights to the type that autocast will ask for, before a compiled graph does.

    Returns:
        list: the cast weights of each layer.
    """
    return [layer.cast(dtype) for layer in module.modules() if isinstance(layer, _CachesCasts)]


class _CachesCasts(nn.Module):
    """Keeps its weight and bias, cast to the type that is computed in."""

    _casts: tuple | None = None

    def __getstate__(self) -> dict:
        """Leave the casts out of a copy of the layer: versions of its parameters begin anew."""
        return {**self.__dict__, '_casts': None}

    def cast(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias in a type; casts them only if they changed since.

        What is written through ``.data`` is no change that torch counts, and is not noticed.
        """
        if torch.compiler.is_compiling() and self._casts is not None:  # see `cache_cast_weights`
            return self._casts[1:]
        own = [p for p in (self.weight, self.bias) if p is not None]
        now = (dtype, self.weight.device, [p._version for p in own])
        if self._casts is None or self._casts[0] != now:
            with torch.inference_mode(False):  # else they could not be trained with later
                bias = None if self.bias is None else self.bias.detach().to(dtype)
                self._casts = (now, self.weight.detach().to(dtype), bias)
        return read_by_graph(self._casts)[1:]


class FrozenLinear(_CachesCasts, nn.Linear):
    """`torch.nn.Linear` that saves nothing but its weight."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = autocast_type(x)
        weight, bias = self.cast(dtype) if dtype else (self.weight, self.bias)
        return F.linear(x, weight, bias)


class FrozenConv2d(_CachesCasts, nn.Conv2d):
    """`torch.nn.Conv2d`, padded with zeros, that saves nothing but its weight."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = autocast_type(x)
        weight, bias = self.cast(dtype) if dtype else (self.weight, self.bias)
        if runs_shifted(self, x):
            return shifted(self, x, weight, bias, weight.dtype)
        how = (self.stride, self.padding, self.dilation, self.groups)
        return _Convolution.apply(x.to(weight.dtype), weight, bias, how)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, how: tuple) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.how = x.shape, how
        return F.conv2d(x, weight, bias, *how)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        (weight,) = ctx.saved_tensors
        return torch.nn.grad.conv2d_input(ctx.shape, weight, grad, *ctx.how), None, None, None


class FrozenLayerNorm(nn.LayerNorm):
    """`torch.nn.LayerNorm` that under autocast computes in float32 and saves its input in half."""

    def forward(self, x: Tensor) -> Tensor:
        dtype = autocast_type(x)
        if dtype is None:
            return super().forward(x)
        return _LayerNorm.apply(x, self.normalized_shape, self.weight, self.bias, self.eps, dtype)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, shape, weight, bias, eps: float, dtype: torch.dtype) -> Tensor:
        y, mean, deviation = torch.native_layer_norm(x.float(), shape, weight, bias, eps)
        if ctx.needs_input_grad[0]:  # a pass that only predicts needs no copy in half
            ctx.save_for_backward(x.to(dtype), mean, deviation, weight, bias)
            ctx.shape, ctx.dtype = shape, x.dtype
        return y.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        x, *moments = ctx.saved_tensors
        found = torch.ops.aten.native_layer_norm_backward(
            grad.float(), x.float(), ctx.shape, *moments, [True, False, False]
        )
        return found[0].to(ctx.dtype), None, None, None, None, None
