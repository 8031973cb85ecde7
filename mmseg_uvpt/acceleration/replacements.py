"""The table of modules that a faster one of the same parameters takes the place of."""

from collections.abc import Callable
from typing import NamedTuple

import mmcv.cnn
from mmseg.models import SegDataPreProcessor
from mmseg.models.backbones.swin import SwinBlock, WindowMSA
from mmseg.models.decode_heads.sep_aspp_head import DepthwiseSeparableASPPModule
from torch import nn

from mmseg_uvpt.acceleration.async_copies import AsyncPreprocessor
from mmseg_uvpt.acceleration.depthwise import (
    Depthwise,
    DepthwiseOfTokens,
    is_depthwise,
    pads_zeros,
)
from mmseg_uvpt.acceleration.frozen import FrozenConv2d, FrozenLayerNorm, FrozenLinear, is_frozen
from mmseg_uvpt.acceleration.prompts_head_loss import (
    BatchNormAfterConv,
    CheckpointedASPP,
    CheckpointedStem,
    FastLovaszSoftmax,
    FastPromptAdapter,
    FastPromptGenerator,
    FastSeparableASPP,
    SeparableMaxPool,
)
from mmseg_uvpt.acceleration.stochastic_depth import FastMiTBlock, FastSwinBlock
from mmseg_uvpt.acceleration.window_attention import WindowAttention
from mmseg_uvpt.models.backbones.mit import Block, DepthwiseConv
from mmseg_uvpt.models.decode_heads.daformer import SeparableASPP
from mmseg_uvpt.models.losses.lovasz import LovaszSoftmax
from mmseg_uvpt.models.prompts.adapter import PromptAdapter
from mmseg_uvpt.models.prompts.generator import PromptGenerator
from mmseg_uvpt.models.tuners.windows_with_tokens import WindowsWithTokens


class Replacement(NamedTuple):
    """A class, and the faster one that replaces modules of exactly that class where it applies.

    ``applies`` is given the module and its name in the model.
    """

    plain: type[nn.Module]
    fast: type[nn.Module]
    applies: Callable[[nn.Module, str], bool] = lambda module, name: True


def _is_stem(module: nn.Sequential, name: str) -> bool:
    return name.endswith('generator.stem')


def _follows_convolution(module: nn.BatchNorm2d, name: str) -> bool:
    """Tell whether it is a norm of DAFormer's ASPP: mmcv's `ConvModule` has convolved before."""
    return '.fuse_layer.' in name and name.endswith('.bn')


def _pools_neighbours(module: nn.MaxPool2d, name: str) -> bool:
    how = (module.kernel_size, module.stride, module.padding, module.dilation)
    return how == (3, 1, 1, 1) and not (module.ceil_mode or module.return_indices)


def _is_frozen_part(module: nn.Module, name: str) -> bool:
    zeros = not isinstance(module, nn.Conv2d) or pads_zeros(module)
    return is_frozen(module) and zeros and '.staged.' in f'.{name}'


TABLE = (
    Replacement(SegDataPreProcessor, AsyncPreprocessor),
    Replacement(SwinBlock, FastSwinBlock),
    Replacement(WindowMSA, WindowAttention),
    Replacement(WindowsWithTokens, WindowAttention),
    Replacement(Block, FastMiTBlock),
    Replacement(DepthwiseConv, DepthwiseOfTokens),
    Replacement(PromptGenerator, FastPromptGenerator),
    Replacement(PromptAdapter, FastPromptAdapter),
    Replacement(SeparableASPP, FastSeparableASPP),
    Replacement(DepthwiseSeparableASPPModule, CheckpointedASPP),
    Replacement(nn.Sequential, CheckpointedStem, _is_stem),
    Replacement(nn.BatchNorm2d, BatchNormAfterConv, _follows_convolution),
    Replacement(nn.MaxPool2d, SeparableMaxPool, _pools_neighbours),
    *(
        Replacement(plain, fast, _is_frozen_part)
        for plain, fast in (
            (nn.Linear, FrozenLinear),
            (mmcv.cnn.Linear, FrozenLinear),
            (nn.Conv2d, FrozenConv2d),
            (mmcv.cnn.Conv2d, FrozenConv2d),
            (nn.LayerNorm, FrozenLayerNorm),
        )
    ),
    Replacement(nn.Conv2d, Depthwise, lambda module, name: is_depthwise(module)),
    Replacement(LovaszSoftmax, FastLovaszSoftmax),
)


def replace_modules(model: nn.Module) -> dict:
    """Put faster modules in the place of plain ones; parameters and their names stay.

    The first line of `TABLE` that fits counts.

    Returns:
        dict: of each (plain, fast) class, how many modules were replaced.
    """
    counts: dict[tuple[type, type], int] = {}
    for name, module in list(model.named_modules()):
        for child_name, child in list(module.named_children()):
            full = f'{name}.{child_name}' if name else child_name
            for plain, fast, applies in TABLE:
                if type(child) is plain and applies(child, full):
                    setattr(module, child_name, with_class(child, fast))
                    counts[plain, fast] = counts.get((plain, fast), 0) + 1
                    break
    return counts


def with_class(module: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """Return a module of another class that has the parameters, buffers and attributes of one.

    A class that needs more than these has a method ``take_over``.
    """
    other = kind.__new__(kind)
    vars(other).update(vars(module))
    if hasattr(other, 'take_over'):
        other.take_over()
    return other
