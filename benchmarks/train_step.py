"""Time a whole adaptation step and count its memory, each fast form against the plain one.

The step is that of the recipes: three views of an image of side x side, batch 1, losses, backward,
AdamW. The plain form, which stands in this file alone, is the same model with attention that adds
bias and a mask of every window and takes the softmax explicitly, torch's own layers in the frozen
backbone, drop path that multiplies by 0, and deformable attention in plain PyTorch. Forms take
turns and draw the same random numbers where the fast one skips what drop path drops on the CPU.
Loss and gradients of the forms are compared, without dropout, before anything is timed.

Memory is what a step holds at the end of its forward pass: parameters, gradients, the optimiser's
state, and each tensor that autograd saved, once. It is counted, on any device; on a GPU the peak
that torch allocates is measured as well. The floor is the time of the step's matrix products and
convolutions (forward, and backward for what needs a gradient) at the speed of a large product that
is measured in the same run.
"""

import argparse
import copy
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from deformable_attention import made_how, seconds_on_cpu
from torch import Tensor, nn
from whole_model import make_model, training_iteration

from mmseg_uvpt.ops import backends


class Form(NamedTuple):
    """One way to make a step."""

    name: str
    model: nn.Module
    around: Callable  # a context that the step runs in


# the plain form


def plain_swin_block(block, tokens: Tensor, size, frozen: bool) -> Tensor:
    """Run a block as mmseg does, drop path included."""
    from mmseg.models.backbones.swin import ShiftWindowMSA, WindowMSA

    plain = copy.copy(block.attn)  # pads, rolls, makes the mask of every window
    plain.w_msa = partial(WindowMSA.forward, block.attn.w_msa)
    tokens = tokens + ShiftWindowMSA.forward(plain, block.norm1(tokens), size)
    return block.ffn(block.norm2(tokens), identity=tokens)


def plain_attention(query, key, value, attn_mask=None, dropout_p=0.0, scale=None) -> Tensor:
    """Do as `scaled_dot_product_attention`, step by step."""
    scores = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ value


@contextmanager
def plainly() -> Iterator[None]:
    """Put the plain form's functions in the place of ours."""
    from mmseg_uvpt.models.backbones import mit, residual, swin

    def add_branch(tokens, branch, rate, frozen):
        return residual.add_branch(tokens, branch, rate, False)

    ours = swin._run, mit.add_branch, F.scaled_dot_product_attention
    swin._run, mit.add_branch, F.scaled_dot_product_attention = (
        plain_swin_block,
        add_branch,
        plain_attention,
    )
    try:
        with backends.forced('reference'):
            yield
    finally:
        swin._run, mit.add_branch, F.scaled_dot_product_attention = ours


def plain_model(model: nn.Module) -> nn.Module:
    """Return a copy whose frozen layers are torch's own."""
    from mmseg_uvpt.models import frozen

    model = copy.deepcopy(model)
    for layer in model.modules():
        for plain, ours in frozen._FROZEN.items():
            if type(layer) is ours:
                layer.__class__ = plain
    return model
