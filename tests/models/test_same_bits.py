"""Networks of a pass in float32, against the package before its passes were made faster."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[2]
PLAIN = 'c8fa998'  # as in benchmarks/inference.py
PREDICT = """
import sys
from pathlib import Path
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
import mmseg_uvpt.register

folder, state, found = map(Path, sys.argv[1:])
assert Path(mmseg_uvpt.__file__).is_relative_to(folder)
init_default_scope('mmseg')
torch.manual_seed(0)
states = torch.load(state) if state.exists() else {}
logits = []
for name in ('swin-nano', 'mit-nano'):
    config = folder / f'configs/_base_/models/{name}_uni-uvpt.py'
    model = MODELS.build(Config.fromfile(config).model).eval()
    if name not in states:  # no weight is left as it is initialised: zeros and ones hide much
        states[name] = {
            key: value + 0.05 * torch.rand_like(value) if value.is_floating_point() else value
            for key, value in model.state_dict().items()
        }
    model.load_state_dict(states[name])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for size in ((128, 192), (75, 110)):
            image = torch.randn(1, 3, *size, generator=generator)
            logits.append(model.encode_decode(image, [{'img_shape': size}]))
torch.save(states, state)
torch.save(logits, found)
"""


@pytest.mark.slow
def test_the_network_gives_the_bits_of_the_plain_one(tmp_path):
    """Image by image, as they go through it on a CPU; prompts, backbones and head."""
    git = ['git', '-C', str(REPOSITORY)]
    look = [*git, 'cat-file', '-e', f'{PLAIN}^{{commit}}']
    if not shutil.which('git') or subprocess.run(look, check=False).returncode:
        pytest.skip(f'needs the history of this repository, of which {PLAIN} is a part')
    plain = tmp_path / 'plain'
    plain.mkdir()
    archive = subprocess.run(
        [*git, 'archive', PLAIN, 'mmseg_uvpt', 'configs'], check=True, capture_output=True
    )
    subprocess.run(['tar', 'x', '-C', plain], check=True, input=archive.stdout)
    states, before, now = (tmp_path / name for name in ('states.pth', 'before.pth', 'now.pth'))
    for folder, found in ((plain, before), (REPOSITORY, now)):
        subprocess.run(
            [sys.executable, '-c', PREDICT, folder, states, found],
            check=True,
            cwd=folder,
            env={**os.environ, 'PYTHONPATH': str(folder), 'UVPT_OPS': 'reference'},
        )
    expected = torch.load(before)
    assert len(expected) == 4
    for logits, same in zip(expected, torch.load(now), strict=True):
        assert logits.std() > 0.01
        assert torch.equal(logits, same)
