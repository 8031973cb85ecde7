"""Importing the package is cheap, and enough for torchvision, mmseg and yapf to be importable.

The cases of torchvision are run with a torch and a torchvision of a few lines, which have the
real ones' order of imports. The real ones are there in all other tests, and by themselves in that
of README.md (`models/test_checkpoints.py`).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = {
    'torch/__init__.py': """
from types import SimpleNamespace
ops = SimpleNamespace(torchvision=SimpleNamespace())
class Library:
    def __init__(self, namespace, kind):
        assert namespace == 'torchvision'
    def define(self, schema):
        name = schema.split('(')[0]
        assert not hasattr(ops.torchvision, name), 'declared twice'
        setattr(ops.torchvision, name, schema)
library = SimpleNamespace(Library=Library)
""",
    'torchvision/__init__.py': 'from . import extension\nfrom . import _meta_registrations\n',
    # its operator library can be loaded if OPERATORS says so
    'torchvision/extension.py': """
import os, torch
if os.environ.get('OPERATORS'):
    library = torch.library.Library('torchvision', 'DEF')
    library.define('nms(Tensor of_its_own) -> Tensor')
    library.define('qnms(Tensor of_its_own) -> Tensor')
""",
    'torchvision/_meta_registrations.py': """
import torch
for name in ('nms', 'qnms'):
    if not hasattr(torch.ops.torchvision, name):
        raise RuntimeError(f'operator torchvision::{name} does not exist')
""",
}
SHOW = '\nprint(torch.ops.torchvision.nms)'


def run(code: str, folder: Path | None = None, **variables: str) -> str:
    """Run code in a fresh interpreter, `folder` before all packages; return what it prints."""
    path = os.pathsep.join(str(p) for p in (folder, REPOSITORY) if p)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        env={**os.environ, **variables, 'PYTHONPATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.strip()


@pytest.fixture
def packages(tmp_path):
    for name, text in PACKAGES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_importing_the_package_imports_nothing_heavy():
    heavy = "{'torch', 'numpy', 'torchvision', 'mmengine', 'cv2'}"
    assert run(f'import sys, mmseg_uvpt; print(*{heavy} & set(sys.modules))') == ''


@pytest.mark.slow
def test_mmcv_and_mmseg_warn_of_nothing():
    command = [sys.executable, '-c', 'import mmseg_uvpt, mmcv.cnn, mmseg.models']
    environment = {**os.environ, 'PYTHONPATH': str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize(
    'code',
    [
        'import mmseg_uvpt, torch, torchvision',
        'import torch, mmseg_uvpt, torchvision',
        'import mmseg_uvpt, torchvision.extension, torch',
        'try:\n  import torchvision\nexcept RuntimeError:\n  import mmseg_uvpt, torch, torchvision',
    ],
)
def test_missing_operators_are_declared_in_any_order_of_imports(packages, code):
    assert run(code + SHOW, packages).startswith('nms(Tensor dets, Tensor scores')


@pytest.mark.parametrize(
    'code', ['import mmseg_uvpt, torch, torchvision', 'import torchvision, torch, mmseg_uvpt']
)
def test_operators_that_torchvision_brings_stay_its_own(packages, code):
    """As with builds for CUDA, or a CPU build of both."""
    assert run(code + SHOW, packages, OPERATORS='1').startswith('nms(Tensor of_its_own)')


def test_without_torchvision_there_is_nothing_to_declare(packages):
    code = 'import sys; sys.modules["torchvision"] = None\nimport mmseg_uvpt, torch\n'
    assert run(code + 'print(vars(torch.ops.torchvision))', packages) == '{}'


@pytest.mark.parametrize('kept', [0, 1, 1000])
def test_a_grammar_cut_short_is_made_and_written_again(tmp_path, kept):
    """As another process that has just begun to write it, or a full disk, leaves it."""
    cache = {'XDG_CACHE_HOME': str(tmp_path)}
    run('import yapf', **cache)
    grammars = {path: path.read_bytes() for path in tmp_path.rglob('*.pickle')}
    assert len(grammars) == 2
    for path, content in grammars.items():
        path.write_bytes(content[:kept])
    run('import mmseg_uvpt, yapf', **cache)
    assert {path: path.read_bytes() for path in tmp_path.rglob('*.pickle')} == grammars
