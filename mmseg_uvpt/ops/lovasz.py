"""Fast forms of the Lovasz-softmax, whose reference is `models.losses.lovasz.LovaszSoftmax`.

The loss of a class is the sum over its pixels, in the order of falling error, of error times
weight. With G pixels of the class, F of them and B others before a pixel, the weight is what the
pixel adds to the Jaccard loss 1 - (G - F) / (G + B): 1 / (G + B) for one of the class, and
(G - F) / ((G + B) (G + B + 1)) for another one. Errors enter linearly, so the weights are the
gradient too: it is written down while the loss is computed, and the backward only scales it. torch
sees one operator, of which a compiled step need not know the inside.
"""

import numpy as np
import torch
from torch import Tensor


def lovasz_softmax(
    probabilities: Tensor, labels: Tensor, ignore_index: int = 255, bins: int | None = None
) -> Tensor:
    """Convex surrogate of the mean Jaccard loss over the classes present in the batch.

    On a GPU nothing waits for the device.

    Args:
        probabilities: (B, C, H, W), softmax output in 0..1.
        labels: (B, H, W), class indices in 0..C-1 or ``ignore_index``.
        ignore_index: label of pixels that do not count.
        bins: None sorts the errors, which is exact. A number counts them in so many equal bins of
            0..1 instead, and each pixel has the mean weight of its kind in its bin: the loss is
            off by at most 1 / bins.

    Returns:
        Tensor: scalar in 0..1; 0 where every pixel is ignored. Differentiable once.

    Raises:
        ValueError: ``bins`` is less than 1.
    """
    if bins is not None and bins < 1:
        raise ValueError(f'bins={bins!r}: must be None or at least 1')
    return _loss_and_gradient(probabilities, labels, ignore_index, bins)[0]


@torch.library.custom_op('uvpt::lovasz_softmax', mutates_args=())
def _loss_and_gradient(
    probabilities: Tensor, labels: Tensor, ignore_index: int, bins: int | None
) -> tuple[Tensor, Tensor]:
    batch, classes, *size = probabilities.shape
    rows = probabilities.detach().transpose(0, 1).reshape(classes, -1).contiguous()
    labels = labels.flatten()
    counted = labels != ignore_index
    if bins is not None:
        loss, gradient = by_histogram(rows, labels, counted, bins)
    elif rows.is_cpu and rows.dtype == torch.float32:
        loss, gradient = by_radix_sorts(rows, labels, counted)
    else:
        loss, gradient = by_batched_sort(rows, labels, counted)
    return loss, gradient.view(classes, batch, *size).transpose(0, 1)


@_loss_and_gradient.register_fake
def _(
    probabilities: Tensor, labels: Tensor, ignore_index: int, bins: int | None
) -> tuple[Tensor, Tensor]:
    gradient = torch.empty_like(
        probabilities.transpose(0, 1), memory_format=torch.contiguous_format
    )
    return probabilities.new_empty(()), gradient.transpose(0, 1)


def _keep_gradient(ctx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])
    ctx.set_materialize_grads(False)  # nothing depends on the second output


def _backward(ctx, grad: Tensor, _: None) -> tuple[Tensor, None, None, None]:
    return ctx.saved_tensors[0] * grad, None, None, None


_loss_and_gradient.register_autograd(_backward, setup_context=_keep_gradient)


def by_batched_sort(rows: Tensor, labels: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Sort all classes at once; absent ones are masked, so that nothing waits for a GPU.

    Args:
        rows: (C, N), the probabilities of each class.
        labels: (N,).
        counted: (N,) bool, False where a pixel is ignored.

    Returns:
        tuple[Tensor, Tensor]: the loss, a scalar, and its gradient, (C, N).
    """
    foreground, errors = _foreground_and_errors(rows, labels)
    # ignored pixels come last, where no weight is left
    errors, order = torch.where(counted, errors, -1).sort(dim=1, descending=True)
    foreground = foreground.gather(1, order)
    found = foreground.cumsum(1)
    left = found[:, -1:] - found
    # G + B; B is the place in the order less F. Where an absent class begins it is 0.
    union = left + foreground + torch.arange(rows.shape[1], device=rows.device)
    union = union.clamp(min=1).to(rows.dtype)
    weights = torch.where(foreground, 1 / union, left / (union * (union + 1)))
    weights *= _shares(foreground.any(1), rows.dtype)
    loss = (errors * weights).sum()
    signed = torch.where(foreground, -weights, weights)
    return loss, torch.empty_like(rows).scatter_(1, order, signed)


def by_radix_sorts(rows: Tensor, labels: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Do as `by_batched_sort` in float32 on the CPU, class by class and several times as fast.

    Only pixels that have a weight are sorted: none is left for others past the last pixel of the
    class. And torch sorts integers by radix, ten times as fast as floats; the bits of errors, which
    are not negative, are in the order of their values.
    """
    p, labels, counted = rows.numpy(), labels.numpy(), counted.numpy()
    if not np.isfinite(p.sum()):  # bits of NaN have no order
        return rows.new_tensor(np.nan), torch.full_like(rows, np.nan)
    gradient = np.zeros_like(p)
    total = 0.0
    present = np.flatnonzero(np.bincount(labels[counted], minlength=len(p))[: len(p)])
    for c in present:
        foreground = labels == c
        errors = np.abs(foreground - p[c])
        weighs = (errors > errors[foreground].min()) & counted | foreground
        pixels = np.flatnonzero(weighs)
        # as the lowest bit, whether the pixel is of the class goes along; 2 * bits(1.0) < 2**31
        keys = 2 * errors[pixels].view(np.int32) + foreground[pixels]
        falling, order = torch.from_numpy(-keys).sort()
        keys = -falling.numpy()
        foreground = keys & 1 == 1
        found = np.cumsum(foreground, dtype=np.int32)
        left = found[-1] - found
        union = left + foreground + np.arange(len(keys), dtype=np.int32)
        union = union.astype(np.float32)
        weights = np.where(foreground, 1 / union, left.astype(np.float32) / (union * (union + 1)))
        weights /= np.float32(len(present))
        total += float(((keys >> 1).view(np.float32) * weights).sum())
        gradient[c][pixels[order.numpy()]] = np.where(foreground, -weights, weights)
    return rows.new_tensor(total), torch.from_numpy(gradient)


def by_histogram(rows: Tensor, labels: Tensor, counted: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Count errors in bins instead of sorting them.

    A bin adds to the Jaccard loss what it adds in the exact order, and this is shared out evenly
    among its pixels of the class and evenly among the others. So the loss is off by no more than
    errors differ within a bin. Taking both kinds together would spoil the gradient.

    Args and returned values are those of `by_batched_sort`.
    """
    foreground, errors = _foreground_and_errors(rows, labels)
    classes = torch.arange(len(rows), device=rows.device)[:, None]
    cells = (errors * bins).long().clamp(0, bins - 1) + bins * (2 * classes + foreground)
    counts = torch.zeros(2 * bins * len(rows), dtype=torch.int32, device=rows.device)
    counts.scatter_add_(0, cells.flatten(), counted.int().expand_as(cells).flatten())
    counts = counts.view(-1, 2, bins).to(rows.dtype)
    after = counts.flip(2).cumsum(2).flip(2)  # B and F past each bin, by falling error
    others_after, found_after = after.unbind(1)
    others, found = (after - counts).unbind(1)
    size = found_after[:, :1]
    union, union_after = (size + others).clamp(min=1), (size + others_after).clamp(min=1)
    of_class = (1 / union + 1 / union_after) / 2
    of_others = (size - (found + found_after) / 2) / (union * union_after)
    table = torch.stack([of_others, of_class], 1)
    weights = table.flatten()[cells] * counted * _shares(size[:, 0] > 0, rows.dtype)
    return (errors * weights).sum(), torch.where(foreground, -weights, weights)


def _foreground_and_errors(rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    foreground = labels == torch.arange(len(rows), device=rows.device)[:, None]
    return foreground, (foreground.to(rows.dtype) - rows).abs()


def _shares(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Return each class's share in the mean, (C, 1), from whether it is present."""
    present = present.to(dtype)
    return (present / present.sum().clamp(min=1))[:, None]
