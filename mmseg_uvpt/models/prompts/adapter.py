"""The prompt adapter: what stands before the blocks of a stage (paper, section 3)."""

from torch import Tensor, nn

from mmseg_uvpt.models.prompts.interactor import LEVELS, PromptInteractor, init_layer
from mmseg_uvpt.ops.tokens import Size


class PromptAdapter(PromptInteractor):
    """A prompt interactor, and the three convolutions that carry the pyramid to the next stage.

    Args:
        next_dim: width of the next stage; None in the last one, which carries nothing on.
        next_stride: by how much the next stage's map is smaller, 2 or 1.
        dim: of `PromptInteractor`.
        **kwargs: likewise.
    """

    def __init__(self, dim: int, next_dim: int | None, next_stride: int = 2, **kwargs):
        super().__init__(dim, **kwargs)
        self.carry = nn.ModuleList(
            nn.Conv2d(dim, next_dim, 3, stride=next_stride, padding=1, bias=False)
            for _ in range(LEVELS if next_dim else 0)
        )
        for part in (self.extractor.ffn, self.carry):
            part.apply(init_layer)

    def forward(
        self, tokens: Tensor, size: Size, pyramid: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Prompt a stage's tokens; arguments are those of `PromptInteractor.interact`.

        Returns:
            tuple: the prompted tokens, and the pyramid for the next stage (empty in the last).
            What is carried on is the pyramid as it came in: the extractor's result feeds the
            injector only, as in the released models.
        """
        tokens = self.interact(tokens, size, pyramid)
        return tokens, [conv(level) for conv, level in zip(self.carry, pyramid, strict=False)]
