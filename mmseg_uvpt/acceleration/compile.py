"""``--compile``: graphs in place of the parts of a segmentor that take longest."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.distributed
from mmengine.config import Config
from torch import Tensor, nn

from mmseg_uvpt.acceleration.compiled_parts import CompiledParts, goes_on_uncompiled
from mmseg_uvpt.acceleration.cuda_graphs import CapturedNetwork, CapturedSteps, CaptureError
from mmseg_uvpt.acceleration.frozen import cache_cast_weights
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor, View
from mmseg_uvpt.ops.backends import autocast_type


@dataclass
class CompileOptions:
    """How to compile on a CPU.

    Args:
        backend: of `torch.compile`.
        limit: seconds for all compiling; None for no limit.

    Raises:
        UserError: the limit is no positive number, nor None.
    """

    backend: str = 'inductor'
    limit: float | None = 120

    def __post_init__(self):
        limit = self.limit
        if not (limit is None or (type(limit) in (int, float) and limit > 0)):
            raise UserError(
                f'uvpt.compile_limit={limit!r} must be a number of seconds above 0, or None for no '
                'limit: give another with --cfg-options uvpt.compile_limit=N'
            )


def compile_network(model: nn.Module, options: CompileOptions) -> list[tuple[str, str, int]]:
    """Have the network compiled when it first runs; parameters and names stay as they are.

    On a GPU a CUDA graph is captured for each size of images, within seconds, so that it does not
    wait to be told of each kernel; elsewhere `torch.compile` generates code, in minutes. Where that
    cannot be done, the log says so and it runs uncompiled.

    Args:
        model: a segmentor.
        options: of a CPU.

    Returns:
        list: what was changed, from what to what, and in how many places.
    """
    network = model._forward
    if next(model.parameters()).is_cuda:
        compiled, kind = CapturedNetwork(network, goes_on_uncompiled), 'CUDA graph'
    else:
        parts = CompiledParts(model, [network], options.backend, options.limit, whole=False)
        compiled, kind = (lambda images: parts(images)[0]), f'torch.compile by {options.backend}'
    model._forward = lambda images, data_samples=None: compiled(images)
    return [('network', kind, 1)]


def compile_views(
    model: AdaptedSegmentor,
    options: CompileOptions,
    cfg: Config | None = None,
    low_memory: bool = False,
) -> list[tuple[str, str, int]]:
    """Have each view of an adaptation run as one graph.

    On a GPU it is a CUDA graph, captured in the first iteration, whose compile regions
    `torch.compile` makes faster kernels of; elsewhere `torch.compile` makes it as a whole. Either
    takes minutes. Where neither can, the log says why, and they run as before.

    Args:
        model: without a wrapper.
        options: of a CPU.
        cfg: of the training.
        low_memory: whether parts run again in the backward pass.

    Returns:
        list: what was changed, from what to what, and in how many places.
    """
    if reason := _why_not(model, cfg or {}, low_memory):
        goes_on_uncompiled(reason)
        return []
    views = [_View(model, scale) for scale in model.view_scales]
    if model.scale_weights.is_cuda:
        compiled, kind = CapturedSteps(views), 'CUDA graph with compiled regions'
    else:
        parts = [view.forward for view in views]
        compiled = CompiledParts(model, parts, options.backend, options.limit)
        kind = f'torch.compile by {options.backend}'
    model.run_views = _Views(model, compiled)
    return [('view', kind, len(views))]


def _why_not(model: AdaptedSegmentor, cfg: dict, low_memory: bool) -> str | None:
    if low_memory:
        return 'with low_memory the backward pass runs parts again'
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        return 'several processes train together'
    if not model.scale_weights.is_cuda or not cfg:
        return None
    if cfg.optim_wrapper.get('accumulative_counts', 1) > 1:
        return 'a backward pass may overwrite gradients that are to be added up'
    if cfg.train_dataloader.get('pin_memory'):
        return 'train_dataloader.pin_memory=True has a thread call the GPU meanwhile'
    return None


class _View(nn.Module):
    """One view of a model as a module of its own, whose parameters are the model's."""

    def __init__(self, model: AdaptedSegmentor, scale: float):
        super().__init__()
        self.model = model
        self.scale = scale

    def forward(self, images: Tensor) -> View:
        return self.model.run_view(images, self.scale)


class _Views:
    """Runs the views of a model, compiled in a training as long as that works."""

    def __init__(self, model: AdaptedSegmentor, compiled: Callable[[Tensor], list]):
        self._model = model
        self._plain = model.run_views
        self.compiled: Callable[[Tensor], list] | None = compiled

    def __call__(self, images: Tensor) -> list[View]:
        if self._model.training and self.compiled is not None:
            if dtype := autocast_type(images):
                cache_cast_weights(self._model.backbone.staged, dtype)
            try:
                return self.compiled(images)
            except CaptureError as error:
                goes_on_uncompiled(str(error))
                self.compiled = None
        return self._plain(images)
