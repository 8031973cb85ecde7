"""Whether all parts of a run mean the same classes, and whether its labels have them."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.pseudo_label_files import list_frames, read_pseudo_labels
from mmseg_uvpt.datasets.image_cache import all_transforms
from mmseg_uvpt.datasets.label_encodings import IGNORE, read_train_ids
from mmseg_uvpt.datasets.seeded_batches import data_set_of, plain_data_sets
from mmseg_uvpt.datasets.transforms import LoadLabelChecked
from mmseg_uvpt.engine.config.classes import classes_in, require_equal, require_same
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evenly_spaced import evenly_spaced
from mmseg_uvpt.model_wrappers import without_wrapper

LOOKED_AT = 100  # labels of a data set that are read before a run begins


class ClassCountHook(Hook):
    """Ends a run before it begins, where its parts disagree about its classes.

    It would go on otherwise, with classes under wrong names, ids that nobody predicts, or labels
    that are no classes.

    Args:
        corrections: hooks that correct labels.
    """

    priority = 'VERY_HIGH'  # before the label bank is made

    def __init__(self, corrections: Sequence[LabelCorrectionHook] = ()) -> None:
        self._corrections = corrections
        self._loaded: list[str] | None = None  # classes that the checkpoint was trained for

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note what the checkpoint says of its classes."""
        self._loaded = classes_in(checkpoint)

    def before_train(self, runner) -> None:
        """Compare what is trained, and what it is evaluated with.

        Raises:
            UserError: classes or their numbers differ, or labels do not have them.
        """
        classes = _of_loader('train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            classes |= _of_loader('val_dataloader', runner.val_dataloader)
        counts = of_model(runner.model) | {name: len(names) for name, names in classes.items()}
        for hook in self._corrections:
            if hook.num_classes is not None:
                counts[f'{type(hook).__name__}.num_classes'] = hook.num_classes
        require_equal(counts)
        require_same({**classes, 'the checkpoint': self._loaded})
        if runner.iter > 0:
            return
        dataset = data_set_of(runner.train_dataloader)
        look_at_labels(dataset, training=True)
        if runner.val_loop is not None:
            look_at_labels(data_set_of(runner.val_dataloader))
        for hook in self._corrections:
            if hook.foreign_labels and isinstance(dataset, BaseSegDataset):
                _look_at_pseudo_labels(dataset, hook)

    def before_test(self, runner) -> None:
        """Compare what is scored.

        Raises:
            UserError: classes or their numbers differ, or labels do not have them.
        """
        classes = _of_loader('test_dataloader', runner.test_dataloader)
        require_equal(of_model(runner.model) | {n: len(names) for n, names in classes.items()})
        require_same({**classes, 'the checkpoint': self._loaded})
        look_at_labels(data_set_of(runner.test_dataloader))


def of_model(model: nn.Module) -> dict[str, int]:
    """Return all numbers of classes that a segmentor has, by what has them."""
    model = without_wrapper(model)
    counts = {'model.decode_head.num_classes': model.decode_head.num_classes}
    if model.decode_head.out_channels != model.decode_head.num_classes:
        counts['model.decode_head.out_channels'] = model.decode_head.out_channels
    for name, module in model.named_modules():
        weight = getattr(module, 'class_weight', None)
        if weight is not None:
            counts[f'model.{name}.class_weight'] = len(weight)
    return counts


def _of_loader(name: str, loader: DataLoader) -> dict[str, list[str]]:
    return {f'{name}.dataset.metainfo.classes': data_set_of(loader).metainfo['classes']}


def look_at_labels(dataset: Dataset, training: bool = False) -> None:
    """Read some labels of a data set, evenly chosen, before a run needs them.

    Args:
        dataset: one whose pipeline loads no labels is left alone.
        training: whether it is trained on: then it needs more than one class, and the log names
            those that occur in no label.

    Raises:
        UserError: a label has values that are no classes; or one class alone occurs and 255, as
            in masks of 0 and 255.
    """
    for part in plain_data_sets(dataset):
        if isinstance(part, BaseSegDataset):
            transforms = all_transforms(part.pipeline.transforms)
            if any(isinstance(t, LoadLabelChecked) for t in transforms):
                _look_at(part, training)


def _look_at(dataset: BaseSegDataset, training: bool) -> None:
    classes = dataset.metainfo['classes']
    paths = [
        dataset.get_data_info(i)['seg_map_path']
        for i in evenly_spaced(range(len(dataset)), LOOKED_AT)
    ]
    labels = (read_train_ids(path, len(classes)) for path in paths)
    known = getattr(dataset, 'never_labelled', ())
    _compare(labels, classes, f'{len(paths)} labels of {type(dataset).__name__}', training, known)


def _look_at_pseudo_labels(dataset: BaseSegDataset, hook: LabelCorrectionHook) -> None:
    """Do as `look_at_labels` with labels that nobody knows the maker of."""
    folder, classes = Path(hook.pseudo_label_dir), dataset.metainfo['classes']
    frames = evenly_spaced(list_frames(dataset, folder), LOOKED_AT)
    labels = read_pseudo_labels(frames, folder, len(classes))
    _compare(labels, classes, f'{len(frames)} pseudo labels in {folder}', True)


def _compare(
    labels: Iterable[np.ndarray],
    classes: Sequence[str],
    what: str,
    training: bool,
    known: Sequence[str] = (),
) -> None:
    occurs = np.zeros(256, bool)
    for label in labels:
        occurs[label] = True
    there = [name for name, occurring in zip(classes, occurs, strict=False) if occurring]
    absent = [name for name in classes if name not in there and name not in known]
    looked_at = f'the {what} that were looked at'
    does_not_count = f'{IGNORE} does not count: in masks of two classes write 0 and 1'
    if occurs[IGNORE] and len(there) == 1:
        message = f'{looked_at} hold {there[0]!r} and {IGNORE} alone, and {does_not_count}'
        if training:
            raise UserError(message)
        print_log(message, 'current', logging.WARNING)
    elif training and absent:
        message = f'no pixel of {", ".join(absent)} in {looked_at}; {does_not_count}'
        print_log(message, 'current', logging.WARNING)
