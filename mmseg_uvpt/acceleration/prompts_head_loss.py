"""Generator, adapters and head that keep less under autocast, and are compile regions; the loss."""

import functools
import math

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPModule
from torch import Tensor, nn

from mmseg_uvpt.acceleration.capture import compile_region
from mmseg_uvpt.acceleration.checkpointing import checkpointed_in_half
from mmseg_uvpt.models.decode_heads.daformer import SeparableASPP
from mmseg_uvpt.models.losses.lovasz import LovaszSoftmax
from mmseg_uvpt.models.prompts.adapter import PromptAdapter
from mmseg_uvpt.models.prompts.generator import PromptGenerator
from mmseg_uvpt.ops.backends import is_inference_on_cpu
from mmseg_uvpt.ops.lovasz import lovasz_softmax
from mmseg_uvpt.ops.tokens import Size


class FastPromptGenerator(PromptGenerator):
    """The prompt generator as a compile region."""

    forward = compile_region(PromptGenerator.forward)


class CheckpointedStem(nn.Sequential):
    """The generator's stem."""

    def forward(self, image: Tensor) -> Tensor:
        """Return the first level of images (B, 3, H, W)."""
        return checkpointed_in_half(super().forward, image)


class FastPromptAdapter(PromptAdapter):
    """A prompt adapter whose interactor is checkpointed under autocast."""

    def interact(self, tokens: Tensor, size: Size, pyramid: list[Tensor]) -> Tensor:
        """Do as `PromptInteractor.interact`."""
        return checkpointed_in_half(self._interact, tokens, size, pyramid)

    _interact = compile_region(PromptAdapter.interact)


class FastSeparableASPP(SeparableASPP):
    """The head's ASPP as a compile region."""

    forward = compile_region(SeparableASPP.forward)


class CheckpointedASPP(DepthwiseSeparableASPPModule):
    """The branches of the ASPP."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return what each branch makes of a map (B, C, h, w)."""
        return checkpointed_in_half(super().forward, x)


class BatchNormAfterConv(nn.BatchNorm2d):
    """The batch norm of a convolution's result, which nothing else reads.

    Without gradients on a CPU it is normalised where it lies, some channels at a time.
    """

    CHANNELS = 64  # at a time

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (B, C, H, W), normalised."""
        if self.training or not is_inference_on_cpu(x):
            return super().forward(x)
        statistics = (self.running_mean, self.running_var, self.weight, self.bias)
        for part, *of_part in zip(
            x.split(self.CHANNELS, dim=1),
            *(numbers.split(self.CHANNELS) for numbers in statistics),
            strict=True,
        ):
            part.copy_(F.batch_norm(part, *of_part, eps=self.eps))
        return x


class SeparableMaxPool(nn.MaxPool2d):
    """Maxima over neighbourhoods of 3 x 3, at stride 1.

    Without gradients on a CPU they are maxima of three rows of maxima of three columns, which
    torch computes ten times as fast as a pooling that also notes where the maxima are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return maxima (B, C, H, W) of a map of that shape."""
        if not is_inference_on_cpu(x):
            return super().forward(x)
        for dim, edges in ((3, (1, 1)), (2, (0, 0, 1, 1))):
            padded = F.pad(x, edges, value=-math.inf)
            x = functools.reduce(
                torch.maximum, (padded.narrow(dim, i, x.shape[dim]) for i in range(3))
            )
        return x


class FastLovaszSoftmax(LovaszSoftmax):
    """Lovasz-softmax with the gradient written down, by sorts that suit the device."""

    def forward(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """Do as `LovaszSoftmax.forward`."""
        return lovasz_softmax(probabilities, labels, self.ignore_index, self.bins)
