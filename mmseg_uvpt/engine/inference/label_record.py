"""What binds pseudo labels to the model that made them: its weights and its classes."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmseg_uvpt.checkpoints.hashes import ADAPTED_FROM, ancestors, weights_of, weights_sha256
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.engine.config.classes import classes_in, require_same
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import file_hash, read_object, why_unreadable

REPORT = 'pseudo_labels.json'
# what a record says of how its labels were made, and the option that asks for it
_OPTIONS = {
    'tta_pipeline': '--aug-test',
    'threshold': '--threshold',
    'class_quantile': '--class-quantile',
}
# what records of before 2026-12-01 do not all say
_NOTED = {
    **{'pipeline': 'pipeline (size of the images)', 'amp': '--amp'},
    **{'data_preprocessor': 'model.data_preprocessor', 'test_cfg': 'model.test_cfg'},
}


def facts_of(loaded: Mapping, checkpoint: str) -> dict:
    """Return what stands in a record of the model that made labels.

    Args:
        loaded: contents of the checkpoint.
        checkpoint: its path.

    Returns:
        dict: ``weights_sha256``; ``adapted_from`` with the `ancestors`, if there are any.
    """
    facts = {'weights_sha256': weights_sha256(state_dict_of(loaded, checkpoint))}
    return facts | ({ADAPTED_FROM: found} if (found := ancestors(loaded)) else {})


def is_descendant(record: Mapping, weights: str) -> bool:
    """Tell whether what made labels was adapted from a model, known by the hash of its weights."""
    found = record.get(ADAPTED_FROM)
    return isinstance(found, list) and weights in found


def record_in(folder: str | Path) -> dict | None:
    """Return what is recorded beside pseudo labels; None where nothing is.

    Raises:
        UserError: the record cannot be read.
    """
    path = Path(folder) / REPORT
    if not os.path.lexists(path):
        return None
    return read_object(path, 'restore it, or make the labels anew in another folder')


def made_by_another(record: Mapping, facts: Mapping) -> str | None:
    """Return the checkpoint that made labels, if it was another model than that of ``facts``.

    Args:
        record: beside the labels. Version 0.1 noted no ``weights_sha256``; that of the file it
            names is taken, if the file is as it was, and otherwise the files are compared.
        facts: ``weights_sha256`` and ``checkpoint_sha256`` of a model.
    """
    noted = record.get('weights_sha256')
    same = noted == facts.get('weights_sha256')
    if noted is None:
        noted = record.get('checkpoint_sha256')
        same = noted == facts.get('checkpoint_sha256')
        if noted is not None and not same:
            same = _weights_of_maker(record) == facts.get('weights_sha256')
    return None if noted is None or same else str(record.get('checkpoint'))


def _weights_of_maker(record: Mapping) -> str:
    path = str(record.get('checkpoint'))
    if why_unreadable(path) or file_hash(path) != record['checkpoint_sha256']:
        return ''
    return weights_of(path)


def made_otherwise(record: Mapping, facts: Mapping) -> str | None:
    """Return the options that labels were made with, if others than those of ``facts``."""
    for key, what in _NOTED.items():
        if key in record and key in facts and record[key] != facts[key]:
            return f'another {what}'
    differing = [key for key in _OPTIONS if record.get(key) != facts.get(key)]
    if not differing:
        return None
    if differing == ['tta_pipeline'] and record.get(*differing) and facts.get(*differing):
        return 'another tta_pipeline'
    said = [
        option if key == 'tta_pipeline' else f'{option} {record[key]}'
        for key, option in _OPTIONS.items()
        if record.get(key) is not None
    ]
    return ' '.join(said) or f'neither of {", ".join(_OPTIONS.values())}'


def recorded_classes(record: Mapping) -> list[str] | None:
    """Return the classes in the order of label values; None where a record has none."""
    names = record.get('class_names') or record.get('classes')  # version 0.1 had the latter alone
    return [*map(str, names)] if isinstance(names, dict | list) else None


def require_labels_of(
    folder: str | Path,
    checkpoint: str,
    classes: Sequence[str],
    foreign: bool,
    make: Callable[[str | Path], str],
) -> None:
    """Make sure that pseudo labels are a source model's own, and hold the classes of a training.

    Those of a model that was adapted from the source model are its own, too.

    Args:
        folder: of the labels.
        checkpoint: the source model.
        classes: of the training, in their order.
        foreign: whether labels that the source model did not make are meant.
        make: gives the command that makes its labels in a folder.

    Raises:
        UserError: the labels are another model's or nobody's and ``foreign`` is not set; or
            checkpoint or labels are of other classes.
    """
    loaded = load_file(checkpoint)
    ours = {'this training': classes}
    require_same({**ours, f'source checkpoint {checkpoint}': classes_in(loaded)})
    record = record_in(folder)
    if record is not None:
        require_same({**ours, f'{folder}/{REPORT}': recorded_classes(record)})
    if foreign:
        return
    facts = {**facts_of(loaded, checkpoint), 'checkpoint_sha256': file_hash(checkpoint)}
    maker = None if record is None else made_by_another(record, facts)
    if record is not None and (maker is None or is_descendant(record, facts['weights_sha256'])):
        return
    whose = (
        f'holds pseudo labels of another model, {maker}'
        if maker
        else f'has no {REPORT} that says which model made its labels'
    )
    own = folder_of(Path(folder), checkpoint)
    raise UserError(
        f'{folder} {whose}, and this training starts from {checkpoint}. Make the labels of this '
        f'model: {make(own)} and train with --pseudo-label-dir {own}, or, if '
        'those other labels are meant, add --foreign-labels'
    )


def folder_of(folder: Path, checkpoint: str) -> Path:
    """Return a folder for a model's own labels beside ``folder``, which is another model's.

    The recipes' folders are ``<model>/train``. Two runs have an ``iter_80000.pth`` each, so the
    name ends in the first digits of the hash of the weights.
    """
    name = f'{Path(checkpoint).stem}_{weights_of(checkpoint)[:8]}'
    if folder.name == 'train':
        return folder.parent.with_name(name) / folder.name
    return folder.with_name(f'{folder.name}_{name}')
