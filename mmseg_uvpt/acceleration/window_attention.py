"""Attention within windows (Liu et al., "Swin Transformer", ICCV 2021) without padded maps."""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import WindowMSA
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmseg_uvpt.acceleration.capture import read_by_graph
from mmseg_uvpt.models.backbones.swin import APART
from mmseg_uvpt.models.tuners.windows_with_tokens import keys_and_values
from mmseg_uvpt.ops.tokens import Size


class Windows(NamedTuple):
    """Windows of one kind, which share a mask.

    ``pixels`` (windows * N,) are the places of their pixels in the batch, row by row and image by
    image; padding has the place behind the last. ``padding`` (P,) says where in ``pixels`` that
    is, and ``present`` are the same places, but for padding that of some pixel. ``mask`` (N, N) is
    0 or `APART`, and the same for all windows of a ``kind``.
    """

    pixels: Tensor
    padding: Tensor
    present: Tensor
    mask: Tensor
    kind: tuple[int, bool, bool]


@torch.compiler.assume_constant_result  # part of a compiled graph as it is, not traced
def windows_of(
    batch: int, size: Size, side: int, shift: int, device: torch.device
) -> list[Windows]:
    """Divide the maps of a batch into windows.

    Args:
        batch: number of maps.
        size: their height and width; they are padded at the bottom and on the right.
        side: height and width of a window.
        shift: by how many pixels windows are moved down and to the right, around the edge.
        device: where the result shall lie.

    Returns:
        list: all windows; with a shift those that lie in one piece, those of the last row, those
        of the last column and the last one, as far as there are any.
    """
    return read_by_graph(_windows_of(batch, size, side, shift, device))


@lru_cache(maxsize=128)  # three views of four stages, shifted or not, and some sizes of evaluation
def _windows_of(
    batch: int, size: Size, side: int, shift: int, device: torch.device
) -> list[Windows]:
    height, width = size
    count = batch * height * width
    places = torch.arange(count).view(batch, height, width)
    places = F.pad(places, (0, -width % side, 0, -height % side), value=count)
    places = places.roll((-shift, -shift), (1, 2))
    places = places.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
    whole, last = slice(0, -1), slice(-1, None)
    parts = [(whole, whole), (last, whole), (whole, last), (last, last)]
    found = []
    for rows, columns in parts if shift else [(slice(None), slice(None))]:
        pixels = places[:, rows, columns].flatten()
        if len(pixels):
            padding = (pixels == count).nonzero().flatten()
            kind = (shift, rows == last, columns == last)
            tables = (pixels, padding, pixels.clamp(max=count - 1), _mask(side, *kind))
            found.append(Windows(*(table.to(device) for table in tables), kind))
    return found


def _mask(side: int, shift: int, in_last_row: bool, in_last_column: bool) -> Tensor:
    """Return the mask (N, N) of a window that the shift puts together of pieces."""
    beyond = torch.arange(side) >= side - shift
    piece = 2 * (beyond & in_last_row)[:, None] + (beyond & in_last_column)[None]
    piece = piece.flatten()
    return torch.zeros(side**2, side**2).masked_fill(piece[:, None] != piece, APART)


class WindowAttention(WindowMSA):
    """Attention within windows, shifted or not; parameters as in mmseg.

    mmseg pads and shifts the map, projects it, and adds a mask of every window. Here only the
    map's own pixels are projected, each is copied once, to its place in its window, and a mask is
    stored once for all windows that share it. What is added to the scores is kept where it is
    frozen.
    """

    _biases: dict | None = None

    def __getstate__(self) -> dict:
        """Leave what is kept out of a copy of the layer: its table's versions begin anew."""
        return {**self.__dict__, '_biases': None}

    def forward(self, tokens: Tensor, size: Size, shift: int, read: Tensor | None = None) -> Tensor:
        """Attend within each window.

        Args:
            tokens: (B, height * width, C).
            size: (height, width).
            shift: of the windows, see `windows_of`.
            read: tokens (count, C) without a position that the pixels of each window read, too.

        Returns:
            Tensor: same shape as ``tokens``.
        """
        batch, _, channels = tokens.shape
        groups = windows_of(batch, size, self.window_size[0], shift, tokens.device)
        qkv = self.qkv(tokens).flatten(0, 1)
        # padding is 0 before the projection
        outside = qkv.new_zeros(qkv.shape[1]) if self.qkv.bias is None else self.qkv.bias
        inside = _IntoWindows.apply(groups, qkv, outside)
        more = None if read is None else self.qkv(read.to(tokens))
        attended = [self._attend(x, group, more) for x, group in zip(inside, groups, strict=True)]
        tokens = _OutOfWindows.apply(groups, len(qkv), *attended).view(batch, -1, channels)
        return self.proj_drop(self.proj(tokens))

    def _attend(self, qkv: Tensor, group: Windows, more: Tensor | None) -> Tensor:
        """Return (windows * N, C) from (windows * N, 3 * C), and tokens projected likewise."""
        qkv = qkv.view(-1, len(group.mask), 3, self.num_heads, qkv.shape[1] // (3 * self.num_heads))
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self._bias(group, query.dtype)
        if more is not None:
            key, value = keys_and_values(more, key, value)
            bias = _aligned(F.pad(bias, (len(more), 0)))
        x = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=bias,
            dropout_p=self.attn_drop.p if self.training else 0.0,
            scale=self.scale,
        )
        return x.transpose(1, 2).reshape(-1, x.shape[1] * x.shape[3])

    def _bias(self, group: Windows, dtype: torch.dtype) -> Tensor:
        """Return the relative position bias plus the mask, (1, heads, N, N)."""
        table = self.relative_position_bias_table
        # a table that is trained changes without a higher version: fused optimisers leave it; and
        # copies in the place of weights, which are no parameters, have versions of their own
        is_fixed = isinstance(table, nn.Parameter) and not table.requires_grad
        if not is_fixed or torch.compiler.is_compiling():
            return self._made_bias(group.mask, dtype)
        self._biases = self._biases or {}
        key, now = (group.kind, dtype), (table.device, table._version)
        if self._biases.get(key, (None,))[0] != now:
            with torch.inference_mode(False), torch.no_grad():  # else no training could save it
                self._biases[key] = (now, self._made_bias(group.mask, dtype))
        return read_by_graph(self._biases[key])[1]

    def _made_bias(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        count = len(mask)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        return _aligned((bias.view(count, count, -1).permute(2, 0, 1) + mask).to(dtype)[None])


def _aligned(bias: Tensor) -> Tensor:
    """Return it in rows that begin at multiples of 8 numbers; CUDA's kernels copy others."""
    count = bias.shape[-1]
    return F.pad(bias, (0, -count % 8))[..., :count]


class _IntoWindows(torch.autograd.Function):
    """Rows of pixels (B * H * W, C) to rows of each group's windows, and a row for padding."""

    @staticmethod
    def forward(ctx, groups: list[Windows], x: Tensor, outside: Tensor) -> tuple[Tensor, ...]:
        ctx.groups, ctx.count = groups, len(x)
        return tuple(_into(x, outside.to(x.dtype), group) for group in groups)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple:
        outside = None
        if ctx.needs_input_grad[2]:
            pairs = zip(grads, ctx.groups, strict=True)
            outside = sum(grad[group.padding].sum(0) for grad, group in pairs)
        return None, _out_of(ctx.groups, ctx.count, grads), outside


class _OutOfWindows(torch.autograd.Function):
    """The reverse: rows of each group's windows to rows of pixels."""

    @staticmethod
    def forward(ctx, groups: list[Windows], count: int, *x: Tensor) -> Tensor:
        ctx.groups = groups
        return _out_of(groups, count, x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple:
        return None, None, *(_into(grad, grad.new_zeros(()), group) for group in ctx.groups)


def _into(x: Tensor, outside: Tensor, group: Windows) -> Tensor:
    if not len(group.padding):
        return x.index_select(0, group.pixels)
    chosen = x.index_select(0, group.present)
    # compiled by torch 2.11, a function that returns what it changed in place has no gradient
    put = chosen.index_put if torch.compiler.is_compiling() else chosen.index_put_
    return put((group.padding,), outside)


def _out_of(groups: list[Windows], count: int, rows: tuple[Tensor, ...]) -> Tensor:
    # one row more for the padding
    x = rows[0].new_empty(count + 1, rows[0].shape[1])
    for group, part in zip(groups, rows, strict=True):
        x.index_copy_(0, group.pixels, part)
    return x[:-1]
