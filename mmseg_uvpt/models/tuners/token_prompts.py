"""Visual prompt tuning (Jia et al., ECCV 2022): learned tokens that attention reads."""

from functools import partial

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.mit import StagedMiT
from mmseg_uvpt.models.backbones.swin import StagedSwin
from mmseg_uvpt.models.backbones.timm.vit import TimmViT
from mmseg_uvpt.models.tuners.tuner import Tuner
from mmseg_uvpt.models.tuners.windows_with_tokens import WindowsWithTokens


class Tokens(nn.Module):
    """Learned tokens (count, dim) of a block, and the hooks that hand them to its attention."""

    def __init__(self, count: int, dim: int, patch: int):
        super().__init__()
        bound = (6 / (3 * patch**2 + dim)) ** 0.5
        self.weight = nn.Parameter(torch.empty(count, dim).uniform_(-bound, bound))

    def among_keys(self, norm: nn.Module, kv: nn.Module, given: tuple) -> Tensor:
        """Be the pre-hook of what makes keys and values of a context (B, M, dim)."""
        return _joined(norm(self.weight), given[0])

    def in_windows(self, norm: nn.Module, attention: nn.Module, given: tuple) -> tuple:
        """Be the pre-hook of a `WindowsWithTokens`."""
        return *given, norm(self.weight)

    def after_prefix(self, prefix: int, norm: nn.Module, given: tuple, x: Tensor) -> Tensor:
        """Be the hook of what gives tokens (B, prefix + N, dim)."""
        return torch.cat([x[:, :prefix], _joined(self.weight, x[:, prefix:])], dim=1)

    def in_place_of(self, prefix: int, block: nn.Module, given: tuple) -> Tensor:
        """Be the pre-hook of a block that is given tokens where these are to be."""
        following = given[0][:, prefix + len(self.weight) :]
        return torch.cat([given[0][:, :prefix], _joined(self.weight, following)], dim=1)


def _joined(tokens: Tensor, x: Tensor) -> Tensor:
    """Return (B, count + N, dim) of tokens (count, dim) and x (B, N, dim)."""
    return torch.cat([tokens.to(x).expand(len(x), -1, -1), x], dim=1)


@MODELS.register_module()
class TokenPrompts(Tuner):
    """Gives learned tokens to the attention of a frozen transformer.

    To a plain ViT (`TimmViT`) they are tokens of the sequence, after class and register tokens and
    without a position. In `StagedSwin` the pixels of each window read them; in `StagedMiT` they are
    further keys and values, beside those of the reduced map. There the block's norm is applied to
    them, as to all that it is given.

    At the start the features are not those of the source model: the softmax gives tokens a share of
    the attention whatever they are, and what is read of them depends on more than they do.

    Args:
        staged: config of the source model's backbone.
        tokens: how many a block has.
        deep: each block has its own, in place of what the block before made of its (VPT-deep).
            Otherwise the first block alone has some (VPT-shallow): in a ViT they travel on through
            all blocks, in Swin and MiT, where they make no query, that block alone reads them.

    Raises:
        ValueError: the backbone is none of these three.
    """

    needs_stages = False  # what fits is said here

    def __init__(self, staged: dict, tokens: int = 10, deep: bool = True):
        super().__init__(staged)
        if not isinstance(self.staged, StagedSwin | StagedMiT | TimmViT):
            raise ValueError(
                'TokenPrompts fits the attention of StagedSwin, StagedMiT and TimmViT, and '
                f'{type(self.staged).__name__} is none'
            )
        widths = enumerate(self.staged.widths)
        blocks = [(block, dim) for stage, dim in widths for block in self.staged.layers(stage)]
        patch = self.staged.strides[0]
        self.tokens = nn.ModuleList(
            Tokens(tokens, dim, patch) for _, dim in (blocks if deep else blocks[:1])
        )
        if isinstance(self.staged, TimmViT):
            self._join_sequence(tokens)
            return
        for own, (block, _) in zip(self.tokens, blocks, strict=False):
            if isinstance(self.staged, StagedSwin):
                block.attn.w_msa = WindowsWithTokens(block.attn.w_msa)
                hook = partial(own.in_windows, block.norm1)
                block.attn.w_msa.register_forward_pre_hook(hook)
            else:  # of a reduced map the last norm is its own
                hook = partial(own.among_keys, getattr(block.attn, 'norm', block.norm1))
                block.attn.kv.register_forward_pre_hook(hook)

    def _join_sequence(self, count: int) -> None:
        """Have the ViT carry tokens like those of its prefix, which features leave out."""
        net, prefix = self.staged.net, self.staged.prefix_tokens
        first, *others = self.tokens
        net.norm_pre.register_forward_hook(partial(first.after_prefix, prefix))
        for own, block in zip(others, net.blocks[1:], strict=False):
            block.register_forward_pre_hook(partial(own.in_place_of, prefix))
        self.staged.prefix_tokens += count
        for module in net.blocks.modules():
            if hasattr(module, 'num_prefix_tokens'):  # how many have no rotary position
                module.num_prefix_tokens += count
