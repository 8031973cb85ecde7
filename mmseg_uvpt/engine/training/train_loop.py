"""The loop of a training."""

from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop
from torch import nn
from torch.utils.data import DataLoader

from mmseg_uvpt.datasets.seeded_batches import seed_batches


@LOOPS.register_module()
class SeededTrainLoop(IterBasedTrainLoop):
    """mmengine's `IterBasedTrainLoop`, whose batches depend on their place in the run alone.

    Args:
        runner: of the run.
        dataloader: the loader, or its config; to that batches are seeded (`seed_batches`).
        **kwargs: as mmengine's takes them.
    """

    def __init__(self, runner, dataloader: DataLoader | dict, **kwargs) -> None:
        if isinstance(dataloader, dict):
            dataloader = seed_batches(dataloader, runner.seed)
        super().__init__(runner, dataloader, **kwargs)

    def run(self) -> nn.Module:
        """Train, and return the model."""
        # hooks of a resumed run ask before its first iteration, after which mmengine decides
        self._decide_current_val_interval()
        return super().run()
