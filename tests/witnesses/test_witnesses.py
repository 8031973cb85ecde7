"""What version 0.1 wrote loads, goes on and scores as it did (`make.py` tells how it was made).

A later version may compute more or faster, and new recipes may differ; with these configs, recorded
in the work folders, it must come to the same. Weights are compared within what another processor's
rounding makes of ten iterations, scores within a few pixels.
"""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from mmseg_uvpt.checkpoints import export
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.engine.scripts import generate_pseudo_label, test, train

HERE = Path(__file__).parent
WITNESSES = HERE / 'v0.1'
NO_PAGE = ['--cfg-options', 'uvpt.report=False']
EXPECTED = json.loads((WITNESSES / 'expected.json').read_text())
PIXELS = 16  # of the 4096 that are scored, whose two largest logits another processor may swap


def _maker():
    spec = importlib.util.spec_from_file_location('make_witnesses', HERE / 'make.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _maker()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with all witnesses, which is the current one."""
    shutil.copytree(WITNESSES, tmp_path / 'v0.1')
    monkeypatch.chdir(tmp_path / 'v0.1')
    return tmp_path / 'v0.1'


def _weights(path: str | Path) -> dict[str, torch.Tensor]:
    return state_dict_of(load_file(path), path)


# `test_scores` reads the files of both
ONE_IS_FAST = [
    pytest.param(name, marks=pytest.mark.slow if name == 'mit' else ()) for name in MAKER.BACKBONES
]


@pytest.mark.parametrize('key', EXPECTED)
def test_scores(here, key):
    name = key.split('-')[1]
    adapted = f'exported-{name}/adapted.safetensors'
    config, checkpoint, *options = MAKER.scored(name, adapted)[key]
    arguments = ['--data-root', 'data', '--work-dir', 'test', '--out', 'score.json', *options]
    test.main([config, checkpoint, *arguments, *NO_PAGE])
    found, expected = json.loads(Path('score.json').read_text()), EXPECTED[key]
    for counts in ('intersection', 'union'):
        assert np.abs(np.subtract(found[counts], expected[counts])).sum() <= PIXELS, counts
    if found['intersection'] == expected['intersection'] and found['union'] == expected['union']:
        for score in ('mIoU19', 'mIoU16', 'mIoU13', 'aAcc'):
            assert found[score] == pytest.approx(expected[score])


@pytest.mark.parametrize('name', ONE_IS_FAST)
def test_a_stopped_adaptation_goes_on(here, name):
    meta = here / f'adapted-{name}/label_bank/meta.json'
    bank = json.loads(meta.read_text())  # as if it had been made here: it holds a whole path
    bank['identity']['pseudo_label_dir'] = str(here / f'data/cityscapes/pretrain/{name}/train')
    meta.write_text(json.dumps(bank))
    work = f'adapted-{name}'
    places = ['--work-dir', work, '--data-root', 'data']
    train.main([f'{work}/config.py', *places, '--resume', *NO_PAGE])
    reached = _weights(f'{work}/iter_{MAKER.ITERATIONS}.pth')
    expected = _weights(f'exported-{name}/adapted.safetensors')
    assert reached.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(reached[key], tensor, rtol=1e-3, atol=1e-5, msg=key)


@pytest.mark.parametrize('name', ONE_IS_FAST)
def test_exported_files_join(here, name):
    source = f'source-{name}/iter_{MAKER.SOURCE_ITERATIONS}.pth'
    joined = export.join(Path(f'exported-{name}/prompts.safetensors'), Path(source))
    write_file(joined, Path('joined.pth'))
    for path in ('joined.pth', f'exported-{name}/adapted.pth'):
        found, expected = _weights(path), _weights(f'exported-{name}/adapted.safetensors')
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize('name', ONE_IS_FAST)
def test_pseudo_labels_are_their_checkpoints_and_trained_with(here, name, capsys):
    folder = here / f'data/cityscapes/pretrain/{name}/train'
    labels = {path: path.read_bytes() for path in folder.rglob('*.png')}
    assert len(labels) == len(MAKER.TRAIN)
    source = f'source-{name}/iter_{MAKER.SOURCE_ITERATIONS}.pth'
    made = ['--config', f'source-{name}/config.py', '--checkpoint', source]
    generate_pseudo_label.main([*made, '--pseudo_label_dir', str(folder), '--data-root', 'data'])
    assert {path: path.read_bytes() for path in folder.rglob('*.png')} == labels
    options = ['--data-root', 'data', '--no-validate', *NO_PAGE, 'train_cfg.max_iters=1']
    train.main([f'adapted-{name}/config.py', '--work-dir', 'new', *options])
    assert Path('new/iter_1.pth').is_file()
