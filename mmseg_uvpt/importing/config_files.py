"""What is written of a source model: its checkpoint, its config, and that of an adaptation."""

import os
from collections.abc import Iterable, Sequence
from keyword import iskeyword
from pathlib import Path
from typing import NamedTuple

from torch import nn

from mmseg_uvpt.checkpoints.hashes import ADAPTED_FROM
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import refuse_to_replace, write_text
from mmseg_uvpt.importing.mmseg_config import plain_values
from mmseg_uvpt.importing.source_model import SourceModel
from mmseg_uvpt.shipped import CHECKOUT, shipped

WIDTH = 100  # of a line
LEARNING_RATES = {'StagedMiT': 4e-6}  # of the published recipes, as is the next
LEARNING_RATE = 6e-6


class Files(NamedTuple):
    """Paths of the checkpoint, of the source model's config and of the adaptation's."""

    checkpoint: Path
    source: Path
    adaptation: Path

    @classmethod
    def of(cls, source: SourceModel, folder: Path) -> 'Files':
        """Return where a source model's files are written, under the name of what it is read of."""
        path = Path(source.origin).resolve()
        name = path.name if path.is_dir() else path.stem
        target = 'to-cityscapes' if source.is_cityscapes else 'adaptation'
        files = (f'{name}.pth', f'{name}.py', f'{name}_{target}.py')
        return cls(*(folder / file for file in files))

    @property
    def labels(self) -> str:
        """The folder of its pseudo labels, below that of Cityscapes."""
        return f'pretrain/{self.checkpoint.stem}/train'

    def refuse_to_replace(self, inputs: Iterable[Path], force: bool) -> None:
        """Raise a `UserError` where one exists, unless ``force``, or is an input."""
        inputs = list(inputs)
        for path in self:
            refuse_to_replace(path, inputs, force)


def write(source: SourceModel, model: nn.Module, files: Files) -> None:
    """Write all three.

    Args:
        source: what was read.
        model: the segmentor that `source_model.build` makes of it.
        files: their paths.

    Raises:
        UserError: the config holds more than plain values; a file could not be written.
    """
    texts = {
        files.source: source_config(source, files),
        files.adaptation: adaptation_config(source, files),
    }
    write_checkpoint(source, model, files.checkpoint)
    for path, text in texts.items():
        write_text(path, text)


def write_checkpoint(source: SourceModel, model: nn.Module, path: Path) -> None:
    """Write the tensors of a source model's segmentor, and its classes where they have names."""
    meta = {} if source.is_numbered else {'dataset_meta': source.named()}
    if source.adapted_from:
        meta[ADAPTED_FROM] = list(source.adapted_from)
    write_file({'meta': meta, 'state_dict': model.state_dict()}, path)


def adapted_model(source: SourceModel, checkpoint: Path) -> dict:
    """Return a source model as an adaptation by Uni-UVPT describes it: with prompts, if it can."""
    tuner = {'type': 'Head' if source.not_staged else 'Prompts'}
    adapted = {'type': 'UniUVPT', 'source_checkpoint': str(checkpoint), 'tuner': tuner}
    return {**source.model, **adapted}


def learning_rate(source: SourceModel) -> float:
    """Return the published learning rate for a source model's backbone."""
    return LEARNING_RATES.get(source.model['backbone']['type'], LEARNING_RATE)


def source_config(source: SourceModel, files: Files) -> str:
    """Return the text of a config that predicts with the source model and scores it."""
    bases = ('datasets/cityscapes.py', 'default_runtime.py')
    entries = {
        'model': source.model,
        'val_cfg': {'type': 'InferenceValLoop'},
        'test_cfg': {'type': 'InferenceTestLoop'},
    }
    comment = f'Source model, imported from {source.origin!r}.'
    return config_text(comment, bases, entries, source, files.source.parent)


def adaptation_config(source: SourceModel, files: Files) -> str:
    """Return the text of a config that adapts the source model to photographs."""
    bases = ('datasets/cityscapes_adaptation.py', 'schedules/adapt_80k.py')
    labels = f'data/cityscapes/{files.labels}'
    entries = {
        'model': adapted_model(source, files.checkpoint),
        **(
            {'train_dataloader': {'batch_size': source.batch_size}} if source.batch_size > 1 else {}
        ),
        'optim_wrapper': {'optimizer': {'lr': learning_rate(source)}},
        'default_hooks': {'label_correction': {'pseudo_label_dir': labels}},
    }
    comment = f'Adaptation of {str(files.checkpoint)!r}.'
    return config_text(comment, bases, entries, source, files.source.parent)


def config_text(
    comment: str, bases: Sequence[str], entries: dict, source: SourceModel, folder: Path
) -> str:
    """Return the text of a config, with the source model's imports and classes.

    Args:
        comment: stands above it.
        bases: shipped configs, by their names below ``configs/_base_``.
        entries: of the config, plain values.
        source: the model.
        folder: that the config is written to.

    Raises:
        UserError: there are more than plain values.
    """
    imports = ['mmseg_uvpt.register', *source.imports]
    entries = {
        '_base_': [_base(base, folder) for base in bases],
        **({'custom_imports': {'imports': imports}} if source.imports else {}),
        **({} if source.is_cityscapes else {'metainfo': source.named()}),
        **entries,
    }
    lines = [f'{name} = {source_text(value, 0, len(name) + 3)}' for name, value in entries.items()]
    text = '\n'.join(lines) + '\n'
    try:
        same = plain_values(text) == entries
    except (SyntaxError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"{source.origin}: the model's config holds more than plain values (numbers, texts, "
            'lists, dicts), which no config file could be written of'
        )
    return f'# {comment}\n{text}'


def _base(name: str, folder: Path) -> str:
    """Return the path of a shipped config: relative, where ``folder`` lies in the repository."""
    path = shipped('configs/_base_') / name
    folder = folder.resolve()
    return os.path.relpath(path, folder) if folder.is_relative_to(CHECKOUT) else str(path)


def source_text(value: object, indent: int = 0, before: int = 0) -> str:
    """Return Python's text of a value: dicts by ``dict()``, an entry a line where one is too long.

    Args:
        value: of dicts, lists, tuples and constants.
        indent: of the line that it begins in.
        before: characters that stand before it there, beside the indent.
    """
    if isinstance(value, dict):
        named = all(str(key).isidentifier() and not iskeyword(key) for key in value)
        start, end = ('dict(', ')') if named else ('{', '}')
        parts = [(f'{key}=' if named else f'{key!r}: ', each) for key, each in value.items()]
    elif isinstance(value, list | tuple):
        start, end = '[]' if isinstance(value, list) else '()'
        parts = [('', each) for each in value]
    else:
        return repr(value)
    last = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    line = ', '.join(f'{name}{source_text(each)}' for name, each in parts)
    if '\n' not in line and indent + before + len(start + line + last + end) < WIDTH:
        return f'{start}{line}{last}{end}'
    lines = [f'{name}{source_text(each, indent + 4, len(name))},' for name, each in parts]
    return '\n'.join(
        [start, *(f'{" " * (indent + 4)}{line}' for line in lines), ' ' * indent + end]
    )
