"""The compiled operators as torch sees them: schemas, shapes without data, and gradients.

The code behind them (csrc) registers itself for a device when its library is loaded.
"""

import torch
from torch import Tensor

SCHEMAS = {
    'deformable_attention': (
        '(Tensor value, SymInt[] value_sizes, Tensor locations, Tensor weights) -> Tensor'
    ),
    'deformable_attention_backward': (
        '(Tensor grad, Tensor value, SymInt[] value_sizes, Tensor locations, Tensor weights)'
        ' -> (Tensor, Tensor, Tensor)'
    ),
    'fused_deformable_attention': (
        '(Tensor value, SymInt[] value_sizes, Tensor raw, SymInt[] query_sizes) -> Tensor'
    ),
    'fused_deformable_attention_backward': (
        '(Tensor grad, Tensor value, SymInt[] value_sizes, Tensor raw, SymInt[] query_sizes)'
        ' -> (Tensor, Tensor)'
    ),
}


def register() -> None:
    """Declare the operators; once a process."""
    for name, schema in SCHEMAS.items():
        torch.library.define(f'uvpt::{name}', schema, tags=torch.Tag.pt2_compliant_tag)
    for operator in (_Classic, _Fused):
        name = f'uvpt::{operator.name}'
        torch.library.register_fake(name, operator.shape)
        torch.library.register_fake(f'{name}_backward', operator.backward_shapes)
        torch.library.register_autograd(name, operator.backward, setup_context=operator.remember)
        torch.library.register_autograd(f'{name}_backward', _refuse)


def _refuse(ctx, *_):
    raise NotImplementedError(
        'deformable attention can be differentiated once; for second derivatives use plain '
        'PyTorch: UVPT_OPS=reference'
    )


def _output_like(value: Tensor, queries: int) -> Tensor:
    return value.new_empty(value.shape[0], queries, value.shape[2] * value.shape[3])


def _contiguous_like(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.new_empty(t.shape) for t in tensors)


class _Classic:
    name = 'deformable_attention'

    @staticmethod
    def shape(value, value_sizes, locations, weights):
        return _output_like(value, locations.shape[1])

    @staticmethod
    def backward_shapes(grad, value, value_sizes, locations, weights):
        return _contiguous_like(value, locations, weights)

    @staticmethod
    def remember(ctx, inputs, output) -> None:
        value, ctx.value_sizes, locations, weights = inputs
        ctx.save_for_backward(value, locations, weights)

    @staticmethod
    def backward(ctx, grad):
        value, locations, weights = ctx.saved_tensors
        grads = torch.ops.uvpt.deformable_attention_backward(
            grad, value, ctx.value_sizes, locations, weights
        )
        return grads[0], None, *grads[1:]


class _Fused:
    name = 'fused_deformable_attention'

    @staticmethod
    def shape(value, value_sizes, raw, query_sizes):
        return _output_like(value, raw.shape[1])

    @staticmethod
    def backward_shapes(grad, value, value_sizes, raw, query_sizes):
        return _contiguous_like(value, raw)

    @staticmethod
    def remember(ctx, inputs, output) -> None:
        value, ctx.value_sizes, raw, ctx.query_sizes = inputs
        ctx.save_for_backward(value, raw)

    @staticmethod
    def backward(ctx, grad):
        value, raw = ctx.saved_tensors
        grad_value, grad_raw = torch.ops.uvpt.fused_deformable_attention_backward(
            grad, value, ctx.value_sizes, raw, ctx.query_sizes
        )
        return grad_value, None, grad_raw, None
