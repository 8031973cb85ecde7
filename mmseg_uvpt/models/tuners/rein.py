"""Rein (Wei et al., "Stronger, Fewer, & Superior", CVPR 2024): tokens that refine each layer."""

from functools import partial

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.tuners.tuner import Tuner, require_whole

DEVIATION = 0.02  # of the numbers of a token at the start


class Refinement(nn.Module):
    """Refines what each block of a stage gives (section 3.2); it begins without an effect.

    Args:
        layers: number of blocks, each with tokens of its own.
        dim: width of the stage.
        tokens: of a block.
        rank: of the two matrices whose product they are.
    """

    def __init__(self, layers: int, dim: int, tokens: int, rank: int):
        super().__init__()
        self.left = nn.Parameter(torch.empty(layers, tokens, rank))
        self.right = nn.Parameter(torch.empty(layers, rank, dim))
        self.of_tokens = nn.Linear(dim, dim)
        self.of_features = nn.Linear(dim, dim)
        self.begin()

    def begin(self) -> None:
        """Fill the parameters as a training begins."""
        deviation = (DEVIATION / self.right.shape[1] ** 0.5) ** 0.5
        nn.init.normal_(self.left, std=deviation)
        nn.init.normal_(self.right, std=deviation)
        self.of_tokens.reset_parameters()
        nn.init.zeros_(self.of_features.weight)
        nn.init.zeros_(self.of_features.bias)

    def refined(self, features: Tensor, layer: int) -> Tensor:
        """Return features (B, N, dim) of a block, refined: equations 3 to 6.

        All tokens but the first, which lets a feature leave the others alone, are mixed by how
        much each resembles the feature.
        """
        tokens = self.left[layer] @ self.right[layer]
        likeness = (features @ tokens.T / features.shape[-1] ** 0.5).softmax(-1)
        mixed = likeness[..., 1:] @ self.of_tokens(tokens[1:])
        return features + self.of_features(features + mixed)


@MODELS.register_module()
class Rein(Tuner):
    """Refines what each block gives by learned tokens; class and register tokens stay as they are.

    The two linear layers of a refinement are shared by the blocks of a stage. What the paper links
    to a mask decoder's queries is left out: the heads here have none.

    Args:
        staged: config of the source model's backbone.
        tokens: of a block.
        rank: of the two matrices whose product they are.

    Raises:
        NotImplementedError: the backbone does not say which blocks a stage has.
    """

    def __init__(self, staged: dict, tokens: int = 100, rank: int = 16):
        require_whole(tokens=tokens, rank=rank)
        super().__init__(staged)
        stages = [list(self.staged.layers(stage)) for stage in range(len(self.staged.widths))]
        self.refinements = nn.ModuleList(
            Refinement(len(layers), width, tokens, rank)
            for layers, width in zip(stages, self.staged.widths, strict=True)
            if layers
        )
        for layers, refinement in zip(filter(None, stages), self.refinements, strict=True):
            for number, layer in enumerate(layers):
                layer.register_forward_hook(partial(self._refine, refinement, number))

    def init_weights(self) -> None:
        """Initialise the backbone, and begin at the source model."""
        super().init_weights()
        for refinement in self.refinements:
            refinement.begin()

    def _refine(
        self, refinement: Refinement, number: int, layer: nn.Module, given: tuple, result: Tensor
    ) -> Tensor:
        """Be the forward hook of a block, whose result is of tokens or a map."""
        before = self.staged.prefix_tokens
        if self.staged.channels_first:
            return refinement.refined(result.movedim(1, -1), number).movedim(-1, 1)
        if not before:
            return refinement.refined(result, number)
        refined = refinement.refined(result[:, before:], number)
        return torch.cat([result[:, :before], refined], dim=1)
