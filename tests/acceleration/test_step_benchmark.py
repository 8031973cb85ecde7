"""benchmarks/train_step.py runs train.py in its forms, and says how long they took."""

import argparse
import importlib
import json

import pytest
from mmengine.config import Config

from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY


@pytest.fixture
def train_step(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / 'benchmarks')
    return importlib.import_module('train_step')


def test_ratios_are_to_the_first_form(train_step):
    found = {
        'plain': {'seconds': [2.0, 9.0, 4.0], 'resident': 100, 'on_gpu': None},
        'float32': {'seconds': [2.0], 'resident': 90, 'on_gpu': 70},
    }
    lines = train_step.table(found).splitlines()
    assert lines[2] == '| plain | 4.000 | 1.00 | 100 | - |'
    assert lines[3] == '| float32 | 2.000 | 2.00 | 90 | 70 |'


def test_the_recipe_is_the_adaptations_with_another_crop(train_step, tmp_path):
    args = argparse.Namespace(side=96, model='swin-nano')
    train_step.write_recipe(tmp_path / 'recipe.py', REPOSITORY, args, tmp_path)
    found = Config.fromfile(tmp_path / 'recipe.py', import_custom_modules=False)
    base = REPOSITORY / 'configs/_base_/datasets/cityscapes_adaptation.py'
    known = Config.fromfile(base, import_custom_modules=False)
    pipelines = [cfg.train_dataloader.dataset.pipeline for cfg in (found, known)]
    different = [one for one, other in zip(*pipelines, strict=True) if one != other]
    assert [part.type for part in different] == ['CropWithBox']
    assert different[0].crop_size == (96, 96)
    assert found.model.type == 'UniUVPT'
    assert found.model.source_checkpoint == str(tmp_path / 'source.pth')


@pytest.mark.slow
def test_a_run(train_step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # restored at the end
    given = ['--model', 'swin-nano', '--side', '64', '--iterations', '2', '--warm-up', '1']
    given += ['--rounds', '1', '--forms', 'plain', 'float32', '--json', str(tmp_path / 'found')]
    monkeypatch.setattr('sys.argv', ['train_step.py', *given])
    train_step.main()
    found = json.loads((tmp_path / 'found').read_text())
    assert list(found) == ['plain', 'float32']
    for row in found.values():
        assert len(row['seconds']) == 1
        assert row['seconds'][0] > 0
        assert row['resident'] > 100
