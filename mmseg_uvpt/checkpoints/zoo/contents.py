"""Whether a published file's tensors fit what its config describes: names and shapes."""

from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.augmentation.prerequisites import FILES
from mmseg_uvpt.augmentation.weights import NETWORKS, fit_weights
from mmseg_uvpt.checkpoints.loading import fit, fit_imagenet_weights, load_file, state_dict_of
from mmseg_uvpt.checkpoints.shapes import shapes_only
from mmseg_uvpt.checkpoints.zoo.files import REPOSITORY, ZooFile
from mmseg_uvpt.engine.config.reading import read
from mmseg_uvpt.errors import UserError


def check_contents(entry: ZooFile, path: Path) -> str:
    """Open a file, running no code of it, and hold it against the model of its config.

    The model is built without its values, so neither memory nor time for it is needed.

    Returns:
        str: how many tensors fit.

    Raises:
        UserError: the file cannot be read or does not fit, or the config does not read it.
    """
    init_default_scope('mmseg')
    cfg = read(REPOSITORY / entry.config)
    tensors = {'imagenet': _imagenet, 'style': _style}.get(entry.stage, _segmentor)(
        cfg, entry, path
    )
    return f'{len(tensors)} tensors fit {entry.config}'


def _segmentor(cfg: Config, entry: ZooFile, path: Path) -> dict[str, Tensor]:
    with shapes_only():
        model = MODELS.build(cfg.model)
    return fit(model, state_dict_of(load_file(path), path), 'the checkpoint')


def _imagenet(cfg: Config, entry: ZooFile, path: Path) -> dict[str, Tensor]:
    with shapes_only():
        backbone = MODELS.build(cfg.model.backbone)
    return fit_imagenet_weights(backbone, path)


def _style(cfg: Config, entry: ZooFile, path: Path) -> dict[str, Tensor]:
    weights = cfg.model.data_preprocessor.get('weights') or {}
    parts = [part for part, file in weights.items() if file == f'model/{entry.file}']
    if not parts:
        raise UserError(f'{entry.config} reads no file model/{entry.file} (weights)')
    name = next(name for name in FILES if parts[0] in FILES[name])
    with shapes_only():
        network = NETWORKS[name]()
    return fit_weights(network, parts[0], str(path))
