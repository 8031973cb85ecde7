"""Small models with random weights that let all layers count."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.importing.config_files import Files, write
from mmseg_uvpt.importing.read import read
from mmseg_uvpt.importing.source_model import SourceModel, build


@pytest.fixture(scope='session')
def randomise() -> Callable[[nn.Module], nn.Module]:
    """Return a function that fills parameters and statistics at random, norms around 1."""

    def fill(model: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim < 2 and not name.endswith('bias'):
                tensor.uniform_(0.75, 1.25)
            elif tensor.is_floating_point():
                tensor.normal_(std=0.2)
        return model.eval()

    return fill


@pytest.fixture
def imported(tmp_path) -> Callable[..., tuple[SourceModel, Files]]:
    """Return a function that imports a model and writes its files."""

    def run(path: Path, config: Path | None = None) -> tuple[SourceModel, Files]:
        source = read(path, config)
        files = Files.of(source, tmp_path / 'out')
        write(source, build(source), files)
        return source, files

    return run
