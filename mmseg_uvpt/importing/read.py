"""The one function that reads a model of any program."""

from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing import from_mmseg, from_transformers
from mmseg_uvpt.importing.source_model import SourceModel


def read(path: Path, config: Path | Config | None = None) -> SourceModel:
    """Read a checkpoint of mmseg, or a folder of `transformers` or its file of weights.

    Args:
        path: file or folder.
        config: of mmseg, or what one of ours gave; None for the one within the checkpoint.

    Raises:
        UserError: it cannot be read, or is no model that could be a source model here.
    """
    beside = path.parent / from_transformers.CONFIG
    if path.name in from_transformers.WEIGHTS and beside.exists():
        path = path.parent
    if not path.is_dir():
        return from_mmseg.read(path, config)
    if config:
        raise UserError(
            f'--config {getattr(config, "filename", config)} is of mmseg, whose models are files: '
            f'name the checkpoint, not the folder {path}'
        )
    return from_transformers.read(path)
