"""Whether all parts of a run mean the same number of classes."""

from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.datasets.seeded_batches import data_set_of
from mmseg_uvpt.engine.runner import without_wrapper
from mmseg_uvpt.errors import UserError


class ClassCountHook(Hook):
    """Ends a run before it begins, where its head, data sets and label correction disagree.

    It would go on otherwise, with classes under wrong names or ids that nobody predicts.
    """

    priority = 'VERY_HIGH'  # before the label bank is made

    def before_train(self, runner) -> None:
        """Compare what is trained, and what it is evaluated with.

        Raises:
            UserError: numbers of classes differ.
        """
        counts = _of_head(runner) | _of_loader('train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            counts |= _of_loader('val_dataloader', runner.val_dataloader)
        for hook in runner.hooks:
            if isinstance(hook, LabelCorrectionHook):
                counts[f'{type(hook).__name__}.num_classes'] = hook.num_classes
        require_equal(counts)

    def before_test(self, runner) -> None:
        """Compare what is scored.

        Raises:
            UserError: numbers of classes differ.
        """
        require_equal(_of_head(runner) | _of_loader('test_dataloader', runner.test_dataloader))


def _of_head(runner) -> dict[str, int]:
    return {'model.decode_head.num_classes': without_wrapper(runner.model).decode_head.num_classes}


def _of_loader(name: str, loader: DataLoader) -> dict[str, int]:
    return {f'{name}.dataset.metainfo.classes': len(data_set_of(loader).metainfo['classes'])}


def require_equal(counts: dict[str, int]) -> None:
    """Raise a `UserError` unless all numbers of classes, by what has them, are the same."""
    if len(set(counts.values())) > 1:
        listed = ', '.join(f'{name}: {count}' for name, count in counts.items())
        raise UserError(f'numbers of classes differ ({listed}): make them agree in the config')
