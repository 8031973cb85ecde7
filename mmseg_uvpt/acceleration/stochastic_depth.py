"""Transformer blocks whose dropped residual branches cost nothing where they are frozen."""

from collections.abc import Callable
from typing import Any

import torch
from mmseg.models.backbones.swin import SwinBlock
from torch import Tensor

from mmseg_uvpt.acceleration.capture import compile_region, is_captured
from mmseg_uvpt.acceleration.frozen import is_frozen
from mmseg_uvpt.models.backbones.mit import Block
from mmseg_uvpt.ops.tokens import Size


def add_branch(
    tokens: Tensor, rate: float, frozen: bool, branch: Callable[..., Tensor], *args: Any
) -> Tensor:
    """Add a branch that is dropped by chance, image by image.

    A frozen branch runs only for the images that keep it, so that a dropped one costs nothing;
    the result is the same but for rounding. A trainable one always runs: its parameters have a
    gradient then, if of zeros, which the optimiser and several processes rely on.

    Args:
        tokens: (B, N, C).
        rate: probability that an image does without the branch; the others get it divided by
            ``1 - rate``.
        frozen: whether the branch has no trainable parameter.
        branch: maps tokens (b, N, C) to tokens of that shape, image by image.
        *args: of the branch, after the tokens.

    Returns:
        Tensor: same shape as ``tokens``.
    """
    if rate == 0:
        return _added(tokens, None, branch, *args)
    skips = frozen and not is_captured()  # a graph cannot depend on a draw
    # drawn on the CPU, the numbers are known without waiting for a GPU
    kept = torch.rand(len(tokens), device='cpu' if skips else tokens.device) >= rate
    if not skips:
        return _added(tokens, kept.to(tokens) / (1 - rate), branch, *args)
    if kept.all():
        x = branch(tokens, *args)
        # a number of the branch's type: a tensor would have to be copied to a GPU and waited for
        return tokens + x * (torch.ones((), dtype=x.dtype, device='cpu') / (1 - rate)).item()
    if not kept.any():
        return tokens
    kept = kept.nonzero().flatten().to(tokens.device, non_blocking=True)
    return tokens.index_add(0, kept, branch(tokens[kept], *args).to(tokens) / (1 - rate))


@compile_region
def _added(
    tokens: Tensor, share: Tensor | None, branch: Callable[..., Tensor], *args: Any
) -> Tensor:
    """Add a branch, times each image's share (B,) of it."""
    x = branch(tokens, *args)
    return tokens + (x if share is None else x * share.to(x).view(-1, 1, 1))


class FastSwinBlock(SwinBlock):
    """mmseg's block, its window attention a `WindowAttention`."""

    def take_over(self) -> None:
        """Note whether the block is trained."""
        self.frozen = is_frozen(self)

    def forward(self, x: Tensor, hw_shape: Size) -> Tensor:
        """Return tokens (B, height * width, C) of a map of size ``hw_shape``."""
        rate = self.attn.drop.drop_prob if self.training else 0.0
        x = add_branch(x, rate, self.frozen, _attend_in_windows, self, hw_shape)
        return add_branch(x, rate, self.frozen, _feed_forward_in_windows, self)


def _attend_in_windows(tokens: Tensor, block: SwinBlock, size: Size) -> Tensor:
    return block.attn.w_msa(block.norm1(tokens), size, block.attn.shift_size)


def _feed_forward_in_windows(tokens: Tensor, block: SwinBlock) -> Tensor:
    return block.ffn.layers(block.norm2(tokens))


class FastMiTBlock(Block):
    """The block of `models.backbones.mit`."""

    def take_over(self) -> None:
        """Note whether the block is trained."""
        self.frozen = is_frozen(self)

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Return tokens (B, height * width, C) of a map of a size."""
        rate = self.drop_path.rate if self.training else 0.0
        tokens = add_branch(tokens, rate, self.frozen, _attend, self, size)
        return add_branch(tokens, rate, self.frozen, _feed_forward, self, size)


def _attend(tokens: Tensor, block: Block, size: Size) -> Tensor:
    return block.attend(tokens, size)


def _feed_forward(tokens: Tensor, block: Block, size: Size) -> Tensor:
    return block.feed_forward(tokens, size)
