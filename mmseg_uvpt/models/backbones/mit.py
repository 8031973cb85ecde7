"""Mix Transformer (Xie et al., "SegFormer", NeurIPS 2021) as a staged backbone.

Written from the paper; parameters are named as in SegFormer's weight files.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.models.prompts.interactor import init_layer
from mmseg_uvpt.ops.tokens import Size, as_map, as_tokens


class OverlapPatchEmbed(nn.Module):
    """Overlapping patches by a strided convolution (section 3.1)."""

    def __init__(self, in_channels: int, dim: int, kernel: int, stride: int, eps: float):
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(dim, eps=eps)

    def forward(self, x: Tensor) -> tuple[Tensor, Size]:
        """Return the tokens (B, h * w, dim) of a map (B, C, H, W), and their (h, w)."""
        x = self.proj(x)
        return self.norm(as_tokens(x)), (x.shape[2], x.shape[3])


class ReducedAttention(nn.Module):
    """Self-attention whose keys and values are taken at a lower resolution (equation 2)."""

    def __init__(self, dim: int, heads: int, reduction: int, eps: float):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.reduction = reduction
        if reduction > 1:
            self.sr = nn.Conv2d(dim, dim, reduction, reduction)
            self.norm = nn.LayerNorm(dim, eps=eps)

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Map tokens (B, height * width, dim) of a size to tokens of the same shape."""
        batch, count, dim = tokens.shape
        context = tokens
        if self.reduction > 1:
            image, missing = as_map(tokens, size), [max(0, self.reduction - s) for s in size]
            if any(missing):  # of a whole window; else F.pad would copy all the same
                image = F.pad(image, (0, missing[1], 0, missing[0]))
            context = self.norm(as_tokens(self.sr(image)))
        query = self.q(tokens).view(batch, count, self.heads, -1).transpose(1, 2)
        key, value = self.kv(context).view(batch, -1, 2, self.heads, dim // self.heads).unbind(2)
        x = F.scaled_dot_product_attention(query, key.transpose(1, 2), value.transpose(1, 2))
        return self.proj(x.transpose(1, 2).reshape(batch, count, dim))


class DepthwiseConv(nn.Module):
    """3x3 depthwise convolution on tokens; it is what tells them their positions."""

    def __init__(self, dim: int):
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Map tokens (B, height * width, dim) to tokens of the same shape."""
        return as_tokens(self.dwconv(as_map(tokens, size)))


class MixFFN(nn.Module):
    """Feed-forward layer with a depthwise convolution inside (equation 3)."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Map tokens (B, height * width, dim) to tokens of the same shape."""
        return self.fc2(F.gelu(self.dwconv(self.fc1(tokens), size)))


class StochasticDepth(nn.Module):
    """Adds a residual branch that training drops by chance, image by image (Huang et al., 2016)."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, tokens: Tensor, branch: Callable[..., Tensor], size: Size) -> Tensor:
        """Return tokens (B, height * width, dim) + branch(tokens, size), or the tokens alone."""
        x = branch(tokens, size)
        if self.rate == 0 or not self.training:
            return tokens + x
        kept = torch.rand(len(x), device=x.device) >= self.rate
        return tokens + x * (kept.to(x) / (1 - self.rate)).view(-1, 1, 1)


class Block(nn.Module):
    """Pre-norm transformer block; ``reduced_eps`` is of the norm within the attention."""

    def __init__(
        self,
        dim: int,
        heads: int,
        reduction: int,
        mlp_ratio: float,
        drop_path: float,
        eps: float,
        reduced_eps: float,
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = ReducedAttention(dim, heads, reduction, reduced_eps)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = MixFFN(dim, int(dim * mlp_ratio))
        self.drop_path = StochasticDepth(drop_path)

    def forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Map tokens (B, height * width, dim) to tokens of the same shape."""
        tokens = self.drop_path(tokens, self.attend, size)
        return self.drop_path(tokens, self.feed_forward, size)

    def attend(self, tokens: Tensor, size: Size) -> Tensor:
        """Return the attention's branch, as wide as the tokens."""
        return self.attn(self.norm1(tokens), size)

    def feed_forward(self, tokens: Tensor, size: Size) -> Tensor:
        """Return the feed-forward branch, as wide as the tokens."""
        return self.mlp(self.norm2(tokens), size)


@MODELS.register_module()
class StagedMiT(StagedBackbone):
    """Mix Transformer, stage by stage.

    Args:
        widths: channels a stage.
        depths: blocks a stage.
        num_heads: attention heads a stage.
        reductions: side of the window that is reduced to one key and value, a stage.
        mlp_ratio: hidden width of the feed-forward layers, as a multiple of the stage's width.
        drop_path_rate: stochastic depth of the last block, rising linearly from 0.
        eps: of the norms of blocks and stages. SegFormer's weight files were trained with this one
            and the next; other programs have others, and each shows in the features.
        embedding_eps: of the norms of patch embeddings and of reduced keys and values.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)`` for an ImageNet file.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128, 320, 512),
        depths: tuple[int, ...] = (3, 6, 40, 3),
        num_heads: tuple[int, ...] = (1, 2, 5, 8),
        reductions: tuple[int, ...] = (8, 4, 2, 1),
        mlp_ratio: float = 4,
        drop_path_rate: float = 0.1,
        eps: float = 1e-6,
        embedding_eps: float = 1e-5,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.widths = tuple(widths)
        self.drop_path_rate = drop_path_rate
        rates = iter(torch.linspace(0, drop_path_rate, sum(depths)).tolist())
        in_channels = 3
        for i, dim in enumerate(widths):
            kernel, stride = (3, 2) if i else (7, 4)
            how = (num_heads[i], reductions[i], mlp_ratio)
            blocks = nn.ModuleList(
                Block(dim, *how, next(rates), eps, embedding_eps) for _ in range(depths[i])
            )
            embed = OverlapPatchEmbed(in_channels, dim, kernel, stride, embedding_eps)
            self.add_module(f'patch_embed{i + 1}', embed)
            self.add_module(f'block{i + 1}', blocks)
            self.add_module(f'norm{i + 1}', nn.LayerNorm(dim, eps=eps))
            in_channels = dim

    def init_random(self) -> None:
        self.apply(init_layer)

    def enter(self, stage: int, x: Tensor) -> tuple[Tensor, Size]:
        return getattr(self, f'patch_embed{stage + 1}')(x)

    def layers(self, stage: int) -> Iterable[nn.Module]:
        return getattr(self, f'block{stage + 1}')

    def blocks(self, stage: int, tokens: Tensor, size: Size) -> Tensor:
        for block in self.layers(stage):
            tokens = block(tokens, size)
        return tokens

    def output(self, stage: int, tokens: Tensor, size: Size) -> tuple[Tensor, Tensor]:
        # unlike in Swin, the next stage embeds the map as it is after this norm
        feature = as_map(getattr(self, f'norm{stage + 1}')(tokens), size)
        return feature, feature
