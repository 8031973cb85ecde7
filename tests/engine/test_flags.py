"""Flags of ``train.py`` that change how it computes, as a user types them: the same numbers.

Others are tested where what they do is: ``--amp`` and ``--resume`` in `test_four_steps.py`,
``--compile`` in `test_compiled_training.py`, ``uvpt.image_cache`` in `test_cached_images.py`.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.engine.scripts import generate_pseudo_label, train
from mmseg_uvpt.ops import backends

OPTIONS = ['train_cfg.max_iters=3', 'default_hooks.checkpoint.interval=3']


@pytest.fixture(scope='module')
def trained(miniature, adaptation_config, source_config, finished, tmp_path_factory) -> Callable:
    """Adapt for three iterations; return the work folder."""
    source, labels = str(finished / 'iter_4.pth'), str(miniature / 'labels')
    data = ['--data-root', str(miniature / 'data')]
    found = ['--checkpoint', source, '--pseudo_label_dir', labels]
    generate_pseudo_label.main(['--config', str(source_config), *found, *data])
    given = [str(adaptation_config), '--source-checkpoint', source, '--pseudo-label-dir', labels]

    def start(*flags: str) -> Path:
        folder = tmp_path_factory.mktemp('trained') / 'run'
        run = [*given, *data, '--work-dir', str(folder), '--no-validate', *flags]
        with backends.forced(None):  # what --plain forces, for a process, is lifted
            train.main([*run, '--cfg-options', *OPTIONS])
        return folder

    return start


@pytest.fixture(scope='module')
def without(trained) -> Path:
    """Work folder of the training without any flag."""
    return trained()


def losses(folder: Path) -> list[float]:
    checkpoint = torch.load(folder / 'iter_3.pth', weights_only=True)
    found = checkpoint['message_hub']['log_scalars']['train/loss'][0].tolist()
    assert len(found) == 3
    return found


def accelerated(folder: Path) -> set[str]:
    """Return what the record says that was replaced."""
    start = json.loads((folder / 'run.json').read_text())['starts'][-1]
    return {change['plain'] for change in start['acceleration']}


@pytest.mark.parametrize(
    ('flags', 'tolerance'),
    [
        (['--plain'], 1e-6),
        pytest.param(['--amp', '--plain'], 3e-2, marks=pytest.mark.slow),
    ],
)
def test_plain(trained, without, flags, tolerance):
    folder = trained(*flags)
    assert losses(folder) == pytest.approx(losses(without), rel=tolerance)
    assert accelerated(folder) == ({'float32'} if '--amp' in flags else set())
    log = next(folder.glob('*/*.log')).read_text()
    assert ('acceleration: none, everything runs as models/ says' in log) == (tolerance < 1e-2)


def test_low_memory(trained, without):
    folder = trained('--low-memory')
    assert losses(folder) == pytest.approx(losses(without), rel=1e-6)
    assert 'mmseg_uvpt.models.losses.lovasz.LovaszSoftmax' in accelerated(without)
    assert accelerated(folder) - accelerated(without) == {'activations kept'}
