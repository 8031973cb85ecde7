"""The source model that is named at the shell: ours, somebody else's, or a shared one."""

from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.checkpoints.fitting import source_tensors
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.checkpoints.zoo import read_zoo
from mmseg_uvpt.engine.config.classes import meta_of
from mmseg_uvpt.engine.config.resolve import read as read_ours
from mmseg_uvpt.engine.inference.model import source_within
from mmseg_uvpt.engine.sharing.pretrained import CONFIG, WEIGHTS, local_folder
from mmseg_uvpt.engine.sharing.shared_config import read_shared
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing.from_mmseg import scale_of_tests
from mmseg_uvpt.importing.from_transformers import CONFIG as TRANSFORMERS
from mmseg_uvpt.importing.mmseg_backbones import is_staged
from mmseg_uvpt.importing.mmseg_config import read_config
from mmseg_uvpt.importing.read import read
from mmseg_uvpt.importing.source_model import SourceModel
from mmseg_uvpt.nested import dict_or_empty
from mmseg_uvpt.shipped import find_config, shipped


def read_model(name: str, config: str | None = None) -> SourceModel:
    """Read a source model; no code in its files is run, but for ``config``.

    Args:
        name: a checkpoint of this project or of mmseg; a work folder, whose last checkpoint counts;
            a folder of transformers, or one that ``save_pretrained`` wrote; or a repository of the
            hub with such a folder.
        config: of a checkpoint that holds none; a released one needs none.

    Raises:
        UserError: it cannot be read, is no model of one backbone and one head, or holds what a
            tuner added.
    """
    path = Path(name)
    is_file = path.suffix in ('.pth', '.pt', '.safetensors', '.ckpt', '.bin')
    is_repository = not path.exists() and len(path.parts) == 2 and not is_file
    if is_repository or ((path / WEIGHTS).is_file() and (path / CONFIG).is_file()):
        if config:
            raise UserError(f'{name} has a config of its own: leave out --config {config}')
        return _shared(name)
    if not path.exists():
        raise UserError(
            f'model {name} does not exist: name a checkpoint, a folder of a model, or a '
            'repository of the hub such as me/model'
        )
    if path.is_dir() and (found := last_checkpoint(path)):
        path = found
    if path.is_dir() and not (path / TRANSFORMERS).is_file():
        raise UserError(
            f'{name} is a folder without a model (iter_*.pth, {TRANSFORMERS} of transformers, or '
            f'{WEIGHTS} and {CONFIG}). MODEL is named first, and PHOTOS after it'
        )
    return read(path, config_of(config) if config else _recipe_of(path))


def config_of(name: str) -> Config:
    """Return what a config file gives; of one of ours with its classes and normalisation filled in.

    Raises:
        UserError: it cannot be read.
    """
    cfg = read_config(find_config(name))
    imported = dict_or_empty(cfg.get('custom_imports')).get('imports') or ()
    return read_ours(name) if 'mmseg_uvpt.register' in imported else cfg


def _recipe_of(path: Path) -> Path | None:
    """Return the shipped recipe of a released source model."""
    released = (f for f in read_zoo() if f.stage == 'source' and Path(f.file).name == path.name)
    found = next(released, None)
    return shipped(found.config) if found else None


def _shared(name: str) -> SourceModel:
    folder = local_folder(name)
    cfg, weights = read_shared(folder / CONFIG), folder / WEIGHTS
    tensors = source_tensors(state_dict_of(load_file(weights), weights), name)
    described, dataset = source_within(cfg.to_dict()['model']), cfg.test_dataloader.dataset
    meta, backbone = meta_of(dataset), described['backbone']['type']
    return SourceModel(
        origin=name,
        what=f'{backbone} and {described["decode_head"]["type"]}, shared',
        model=described,
        state_dict=tensors,
        classes=tuple(meta['classes']),
        palette=meta['palette'],
        not_staged=None if is_staged(backbone) else f'{backbone} is not run stage by stage',
        scale=scale_of_tests(cfg),
    )
