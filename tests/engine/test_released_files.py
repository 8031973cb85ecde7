"""Released and exported files serve all scripts as the files of one's own runs do."""

import json
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.checkpoints.export import join, split
from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.engine.scripts import generate_pseudo_label, test, train


@pytest.fixture(scope='module')
def released(finished, tmp_path_factory) -> Path:
    """The finished source model as a released file: old meta, prefix, auxiliary heads."""
    own = torch.load(finished / 'iter_4.pth', weights_only=True)['state_dict']
    heads = {k.replace('decode_head', 'decode_head_aug3'): v for k, v in own.items() if 'head' in k}
    path = tmp_path_factory.mktemp('released') / 'GtA_tiny.pth'
    _save(path, own | heads)
    return path


def _save(path: Path, state: dict) -> None:
    meta = {'CLASSES': ('road',), 'PALETTE': [[128, 64, 128]], 'config': 'model = dict()'}
    state = {f'module.{k}': v for k, v in to_released(state).items()}
    torch.save({'meta': meta, 'state_dict': state}, path)


def _score(config: Path, checkpoint: Path, folder: Path, data_root: Path) -> dict:
    out = folder / f'{checkpoint.stem}.json'
    test.main(
        [
            str(config),
            str(checkpoint),
            '--eval',
            'mIoU',
            '--out',
            str(out),
            '--work-dir',
            str(folder),
            '--data-root',
            str(data_root),
        ]
    )
    return json.loads(out.read_text())


@pytest.mark.slow
def test_source_model(released, finished, source_config, adaptation_config, data_root, tmp_path):
    scores = [
        _score(source_config, path, tmp_path, data_root)['intersection']
        for path in (released, finished / 'iter_4.pth')
    ]
    assert scores[0] == scores[1]

    folders = []
    for path in (released, finished / 'iter_4.pth'):
        folders.append(tmp_path / path.stem)
        generate_pseudo_label.main(
            [
                '--config',
                str(adaptation_config),
                '--checkpoint',
                str(path),
                '--pseudo_label_dir',
                str(folders[-1]),
                '--data-root',
                str(data_root),
            ]
        )
    first, second = ({p.name: p.read_bytes() for p in f.rglob('*.png')} for f in folders)
    assert first == second
    assert len(first) == 3

    train.main(
        [
            str(adaptation_config),
            '--source-checkpoint',
            str(released),
            '--pseudo-label-dir',
            str(folders[0]),
            '--work-dir',
            str(tmp_path / 'adapted'),
            '--data-root',
            str(data_root),
        ]
    )
    own = torch.load(tmp_path / 'adapted/iter_4.pth', weights_only=True)['state_dict']
    _save(tmp_path / 'adapted_released.pth', own)
    small, joined = tmp_path / 'small.safetensors', tmp_path / 'joined.safetensors'
    write_file(split(tmp_path / 'adapted/iter_4.pth', released), small)
    write_file(join(small, finished / 'iter_4.pth'), joined)
    scores = [
        _score(adaptation_config, path, tmp_path, data_root)['intersection']
        for path in (tmp_path / 'adapted/iter_4.pth', tmp_path / 'adapted_released.pth', joined)
    ]
    assert scores[0] == scores[1] == scores[2]
