"""Memory of a training step, counted: the bytes of tensors that are alive at a time, at most.

Parameters, gradients and AdamW's state are included; what libraries and allocators reserve is not.
No value is computed, so that models count that this machine could not hold: not `StagedSwin`, whose
windows need values. The losses are left out: sums take their place.
"""

import argparse
import copy
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from hours import SIDE, find_rows
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.acceleration.accelerate import accelerate

REPOSITORY = Path(__file__).resolve().parents[1]


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the storages that operations make, until they are freed."""

    def __init__(self):
        super().__init__()
        self.seen: set[int] = set()
        self.alive = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return result

    def add(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage, once."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self.seen:
            self.seen.add(key)
            self.alive += size
            self.most = max(self.most, self.alive)
            weakref.finalize(storage, self.free, key, size)

    def free(self, key: int, size: int) -> None:
        """Count a storage no more."""
        self.seen.discard(key)
        self.alive -= size


def peak(model: nn.Module, step: Callable[[nn.Module], torch.Tensor], amp: bool) -> float:
    """Return the GiB of a step of a model: ``step`` returns what its backward pass begins with."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, FakeCopyMode(mode):
        model = copy.deepcopy(model)
    with mode, LiveBytes() as counter:
        for tensor in (*model.parameters(), *model.buffers()):
            counter.add(tensor)
        state = [(torch.empty_like(p), torch.empty_like(p)) for p in trained(model)]
        with torch.autocast('cpu', torch.bfloat16, enabled=amp):
            loss = step(model)
        loss.backward()
        del state
    return counter.most / 2**30


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that a training changes."""
    return [p for p in model.parameters() if p.requires_grad]


def source_step(model: nn.Module, batch: int) -> torch.Tensor:
    """Run a source model."""
    return model.decode_head(model.extract_feat(torch.empty(batch, 3, SIDE, SIDE))).sum()


def adaptation_step(model: nn.Module, batch: int) -> torch.Tensor:
    """Run the views of an adapted model."""
    views = model.run_views(torch.empty(batch, 3, SIDE, SIDE))
    return sum(view.logits.sum() + sum(p.sum() for p in view.prompts) for view in views)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--config-root', type=Path, default=REPOSITORY / 'configs/foundation')
    parser.add_argument('--source', default='gta5', help='the rows of this source [%(default)s]')
    args = parser.parse_args()
    init_default_scope('mmseg')
    print('| row | stage | float32, GiB | --amp, GiB |\n|---|---|---|---|')
    for row in find_rows(args.config_root):
        if not row.name.endswith(args.source):
            continue
        stages = (('pretraining', source_step), ('adaptation', adaptation_step))
        for stage, step in stages:
            cfg = Config.fromfile(getattr(row, stage))
            found = [gib(cfg, step, amp) for amp in (False, True)]
            print(f'| {row} | {stage} | {found[0]:.1f} | {found[1]:.1f} |', flush=True)


def gib(cfg: Config, step: Callable, amp: bool) -> float:
    """Return the GiB of a step of a config's model as it is run, accelerated."""
    cfg.model.backbone.drop_path_rate = 0.0  # what it drops by chance would not count
    model = MODELS.build(cfg.model).train()
    accelerate(model)
    return peak(model, lambda m: step(m, cfg.train_dataloader.batch_size), amp)


if __name__ == '__main__':
    main()
