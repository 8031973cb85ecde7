"""Models and samples for the tests of this folder."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import mmseg_uvpt.register  # noqa: F401

MODEL_CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'models'


@pytest.fixture(scope='session')
def build():
    """Return a function that builds the model of a file in configs/_base_/models."""

    init_default_scope('mmseg')

    def build_model(name: str, changes: dict | None = None):
        config = Config.fromfile(MODEL_CONFIGS / f'{name}.py')
        config.merge_from_dict({f'model.{key}': value for key, value in (changes or {}).items()})
        return MODELS.build(config.model)

    return build_model


@pytest.fixture(scope='session')
def labelled():
    """Return a function that wraps a label (B, H, W) as the samples of a batch."""

    def wrap(labels) -> list[SegDataSample]:
        samples = []
        for label in torch.as_tensor(labels):
            sample = SegDataSample()
            sample.gt_sem_seg = PixelData(data=label[None].long())
            samples.append(sample)
        return samples

    return wrap
