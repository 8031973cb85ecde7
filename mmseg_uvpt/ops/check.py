"""Random arguments of deformable attention, and how far a backend is from the reference."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmseg_uvpt.ops import backends
from mmseg_uvpt.ops.deformable import deformable_attention, fused_deformable_attention
from mmseg_uvpt.ops.tokens import Size, pixels

ENTRIES = ('fused', 'classic')

# largest relative L2 error against float64, by the type of the tensors (and of their results)
TOLERANCE = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


class Arguments(NamedTuple):
    """Arguments of either entry: ``samples`` is ``(raw,)`` or ``(locations, weights)``."""

    value: Tensor
    value_sizes: Sequence[Size]
    samples: tuple[Tensor, ...]
    query_sizes: Sequence[Size]

    def to(self, device: str | torch.device, dtype: torch.dtype) -> 'Arguments':
        """Return these arguments elsewhere, as leaves that require gradients."""
        value, *samples = (
            t.detach().to(device, dtype).requires_grad_() for t in (self.value, *self.samples)
        )
        return self._replace(value=value, samples=tuple(samples))


def arguments(
    entry: str,
    value_sizes: Sequence[Size],
    query_sizes: Sequence[Size],
    batch: int = 1,
    heads: int = 2,
    width: int = 4,
    points: int = 4,
    spread: float = 1.5,
    seed: int = 0,
) -> Arguments:
    """Make random arguments in float64.

    Samples lie around their queries' centres, ``spread`` pixels away on average; none lies on an
    integer, where the gradient of its place jumps.

    Args:
        entry: ``'fused'`` or ``'classic'``.
        value_sizes: (height, width) of each level.
        query_sizes: (height, width) of each map of queries.
        batch, heads, width, points: numbers of each; ``width`` is a head's.
        spread: standard deviation of the offsets, in pixels.
        seed: of the random numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    queries = pixels(query_sizes)
    shape = (batch, queries, heads, len(value_sizes), points)
    value = torch.randn(batch, pixels(value_sizes), heads, width, generator=generator).double()
    raw = torch.randn(*shape, 3, generator=generator).double()
    raw[..., :2] *= spread
    for level, (h, w) in enumerate(value_sizes):
        start = 0
        for rows, columns in query_sizes:
            of_map = raw[:, start : start + rows * columns, :, level]
            y, x = torch.meshgrid(
                (torch.arange(rows) + 0.5) * h / max(rows, 1) - 0.5,
                (torch.arange(columns) + 0.5) * w / max(columns, 1) - 0.5,
                indexing='ij',
            )
            for axis, centre in enumerate((x, y)):
                place = centre.double().reshape(1, -1, 1, 1) + of_map[..., axis]
                fraction = place - place.floor()
                of_map[..., axis] += fraction.clamp(0.02, 0.98) - fraction
            start += rows * columns
    if entry == 'fused':
        return Arguments(value, value_sizes, (raw,), query_sizes)
    scale = torch.tensor([(max(w, 1), max(h, 1)) for h, w in value_sizes]).view(1, 1, 1, -1, 1, 2)
    around = torch.rand(*shape, 2, generator=generator).double() * (scale + 4) - 2.5
    around += (around - around.floor()).clamp(0.02, 0.98) - (around - around.floor())
    weights = torch.rand(shape, generator=generator).double()
    return Arguments(value, value_sizes, ((around + 0.5) / scale, weights), query_sizes)


def attend(given: Arguments) -> Tensor:
    """Call the entry that the arguments are for."""
    if len(given.samples) == 1:
        return fused_deformable_attention(
            given.value, given.value_sizes, *given.samples, given.query_sizes
        )
    return deformable_attention(given.value, given.value_sizes, *given.samples)


def gradient_of(output: Tensor) -> Tensor:
    """Return the gradient that `output_and_gradients` sends back: random, but always the same."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)


def output_and_gradients(given: Arguments, backend: str | None = None) -> list[Tensor]:
    """Return the output and the gradients of value and samples."""
    with backends.forced(backend):
        output = attend(given)
        grads = torch.autograd.grad(output, (given.value, *given.samples), gradient_of(output))
        return [output.detach(), *grads]


def errors(given: Arguments, found: Sequence[Tensor]) -> list[float]:
    """Return the relative L2 errors of an output and its gradients.

    They are taken against the reference in float64 on the CPU, from the same rounded arguments.
    """
    expected = output_and_gradients(given.to('cpu', torch.float64), 'reference')
    return [
        float((f.cpu().double() - e).norm() / e.norm().clamp(min=1e-30))
        for f, e in zip(found, expected, strict=True)
    ]


def errors_of(backend: str, given: Arguments, device: str, dtype: torch.dtype) -> list[float]:
    """Return the relative L2 errors of a backend's output and gradients."""
    rounded = given.to(device, dtype)
    return errors(rounded, output_and_gradients(rounded, backend))
