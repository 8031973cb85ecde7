"""The prompt interactor: pyramid and stage tokens exchange features by deformable attention.

Source: section 3 of the paper; its extractor and injector are those of ViT-Adapter (Chen et al.,
"Vision Transformer Adapter for Dense Predictions", ICLR 2023), in the other order.
"""

from math import gcd

import torch
import torch.nn.functional as F
from timm.layers import DropPath, trunc_normal_
from torch import Tensor, nn

from mmseg_uvpt.models.prompts.generator import STRIDES, init_convolution
from mmseg_uvpt.ops import DeformableAttention
from mmseg_uvpt.ops.tokens import Size, as_map, as_tokens

LEVELS = len(STRIDES)
NORM_EPS = 1e-6


class PyramidFFN(nn.Module):
    """Feed-forward layer whose depthwise 3x3 runs on each pyramid level at its own size."""

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor, sizes: list[Size]) -> Tensor:
        """Map tokens (B, sum of height * width, dim) to tokens of the same shape."""
        levels = self.fc1(tokens).split([h * w for h, w in sizes], dim=1)
        mixed = [
            as_tokens(self.dwconv(as_map(x, size))) for x, size in zip(levels, sizes, strict=True)
        ]
        return self.fc2(F.gelu(torch.cat(mixed, dim=1)))


class Extractor(nn.Module):
    """The pyramid attends to the stage's tokens."""

    def __init__(self, dim: int, heads: int, points: int, drop_path: float):
        super().__init__()
        self.query_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.feat_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = DeformableAttention(dim, heads, levels=1, points=points)
        self.ffn_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.ffn = PyramidFFN(dim, dim // 4)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, pyramid: Tensor, sizes: list[Size], tokens: Tensor, size: Size) -> Tensor:
        """Return the pyramid's tokens (B, sum of height * width, dim), enriched."""
        attended = self.attn(self.query_norm(pyramid), sizes, self.feat_norm(tokens), [size])
        pyramid = pyramid + attended
        return pyramid + self.drop_path(self.ffn(self.ffn_norm(pyramid), sizes))


class Injector(nn.Module):
    """The stage's tokens attend to the pyramid; their gate ``gamma`` begins near 0."""

    def __init__(self, dim: int, heads: int, points: int):
        super().__init__()
        self.query_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.feat_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = DeformableAttention(dim, heads, levels=LEVELS, points=points)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))

    def forward(self, tokens: Tensor, size: Size, pyramid: Tensor, sizes: list[Size]) -> Tensor:
        """Return the stage's tokens (B, height * width, dim), prompted."""
        attended = self.attn(self.query_norm(tokens), [size], self.feat_norm(pyramid), sizes)
        return tokens + self.gamma * attended


class PromptInteractor(nn.Module):
    """Extractor, then injector.

    Args:
        dim: width of the stage and of the pyramid.
        heads: attention heads; None for 16, as published, or for a narrow stage the largest power
            of two below that divides the width of the values, half of ``dim``.
        points: samples that each takes from a level.
        drop_path: stochastic depth of the extractor's feed-forward layer.
    """

    def __init__(self, dim: int, heads: int | None = None, points: int = 4, drop_path: float = 0):
        super().__init__()
        heads = heads or gcd(dim // 2, 16)
        self.extractor = Extractor(dim, heads, points, drop_path)
        self.injector = Injector(dim, heads, points)

    def interact(self, tokens: Tensor, size: Size, pyramid: list[Tensor]) -> Tensor:
        """Return a stage's tokens (B, height * width, dim), prompted.

        Args:
            tokens, size: the tokens, and their (height, width).
            pyramid: three maps (B, dim, h_l, w_l), about 2, 1 and 0.5 times that size.
        """
        sizes = [(level.shape[2], level.shape[3]) for level in pyramid]
        joined = torch.cat([as_tokens(level) for level in pyramid], dim=1)
        return self.injector(tokens, size, self.extractor(joined, sizes, tokens, size), sizes)


def init_layer(module: nn.Module) -> None:
    """Truncated normal for linear layers, normal by fan-out for convolutions."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    init_convolution(module)
