"""The prompt adapter: what stands before the blocks of a stage."""

from torch import Tensor, nn

from mmseg_uvpt.models.prompts.interactor import LEVELS, PromptInteractor, init_layer
from mmseg_uvpt.ops.sizes import Size


class PromptAdapter(PromptInteractor):
    """A prompt interactor, and the three convolutions that carry the pyramid to the next stage.

    Args:
        dim: width of the stage and of the pyramid.
        next_dim: width of the next stage; None in the last one, which carries nothing on.
        heads: attention heads.
        points: samples a head takes from each level.
        drop_path: stochastic depth of the extractor's feed-forward layer.
    """

    def __init__(
        self, dim: int, next_dim: int | None, heads: int = 16, points: int = 4, drop_path: float = 0
    ):
        super().__init__(dim, heads, points, drop_path)
        self.carry = (
            nn.ModuleList(
                nn.Conv2d(dim, next_dim, 3, stride=2, padding=1, bias=False) for _ in range(LEVELS)
            )
            if next_dim
            else None
        )
        for part in (self.extractor.ffn, self.carry):
            if part is not None:
                part.apply(init_layer)

    def forward(
        self, tokens: Tensor, size: Size, pyramid: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Prompt a stage's tokens.

        Args:
            tokens: (B, height * width, dim).
            size: (height, width) of the stage's map.
            pyramid: three maps (B, dim, h_l, w_l), about 2, 1 and 0.5 times that size.

        Returns:
            tuple: the prompted tokens, and the pyramid for the next stage (empty in the last).
            What is carried on is the pyramid as it came in: the interactor's feeds the tokens
            only, as in the released models.
        """
        tokens = self.interact(tokens, size, pyramid)
        if self.carry is None:
            return tokens, []
        return tokens, [conv(level) for conv, level in zip(self.carry, pyramid, strict=True)]
