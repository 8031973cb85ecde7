"""``--compile``: graphs in place of the parts of a segmentor that take longest."""

from collections.abc import Callable

import torch
import torch.distributed
from mmengine.config import Config
from torch import Tensor, nn

from mmseg_uvpt.acceleration.compiled_parts import CompiledParts, goes_on_uncompiled
from mmseg_uvpt.acceleration.cuda_graphs import RecordedNetwork, RecordedSteps, RecordingError
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.models.segmentors.uni_uvpt import UniUVPT

BACKEND, LIMIT = 'inductor', 120  # where a config, as one of version 0.1, says nothing


def options(cfg: Config) -> tuple[str, float | None]:
    """Return what ``cfg.uvpt`` says of compiling on a CPU: the backend, and the limit in seconds.

    Raises:
        UserError: the limit is no positive number, nor None.
    """
    said = cfg.get('uvpt', {})
    limit = said.get('compile_limit', LIMIT)
    if not (limit is None or (type(limit) in (int, float) and limit > 0)):
        raise UserError(
            f'uvpt.compile_limit={limit!r} must be a number of seconds above 0, or None for no '
            'limit: give another with --cfg-options uvpt.compile_limit=N'
        )
    return said.get('compile_backend', BACKEND), limit


def compile_network(model: nn.Module, backend: str = BACKEND, limit: float | None = LIMIT) -> None:
    """Have the network compiled when it first runs; parameters and names stay as they are.

    On a GPU a CUDA graph is recorded for each size of images, within seconds, so that it does not
    wait to be told of each kernel; elsewhere `torch.compile` generates code, in minutes. Where that
    cannot be done, the log says so and it runs uncompiled.

    Args:
        model: a segmentor, or a wrapper of one that has it as ``module``.
        backend: of `torch.compile`.
        limit: seconds for compiling on a CPU; None for no limit.
    """
    model = without_wrapper(model)
    network = model.network
    if next(model.parameters()).is_cuda:
        model.network = RecordedNetwork(network, goes_on_uncompiled)
        return
    compiled = CompiledParts(model, [network], backend, limit, whole=False)
    # given several images, the network runs what stands under its name with each
    model.network = lambda images: compiled(images)[0] if len(images) == 1 else network(images)


def compile_views(
    model: UniUVPT, backend: str = BACKEND, limit: float | None = LIMIT, cfg: Config | None = None
) -> None:
    """Have each view of an adaptation run as one graph.

    On a GPU it is a CUDA graph, recorded in the first iteration, whose repeated parts
    `torch.compile` makes faster kernels of; elsewhere `torch.compile` makes it as a whole. Either
    takes minutes. Where neither can, the log says why, and they run as before.

    Args:
        model: without a wrapper.
        backend: of `torch.compile`, on a CPU.
        limit: seconds for compiling on a CPU; None for no limit.
        cfg: of the training.
    """
    if reason := _why_not(model, cfg or {}):
        goes_on_uncompiled(reason)
        return
    views = [_View(model, scale) for scale in model.view_scales]
    if model.scale_weights.is_cuda:
        model.run_views = _Views(model, RecordedSteps(views))
    else:
        parts = [view.forward for view in views]
        model.run_views = _Views(model, CompiledParts(model, parts, backend, limit))


def _why_not(model: nn.Module, cfg: dict) -> str | None:
    if not isinstance(model, UniUVPT):
        return 'only the views of an adaptation are compiled'
    if model.low_memory:
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

    def __init__(self, model: UniUVPT, scale: float):
        super().__init__()
        self.model = model
        self.scale = scale

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.model._view(image, self.scale)


class _Views:
    """Runs the views of a model, compiled in a training as long as that works."""

    def __init__(self, model: UniUVPT, compiled: Callable[[Tensor], list]):
        self._model = model
        self._plain = model.run_views
        self.compiled: Callable[[Tensor], list] | None = compiled

    def __call__(self, image: Tensor) -> list[tuple[Tensor, tuple[Tensor, ...]]]:
        if self._model.training and self.compiled is not None:
            try:
                return self.compiled(image)
            except RecordingError as error:
                goes_on_uncompiled(str(error))
                self.compiled = None
        return self._plain(image)
