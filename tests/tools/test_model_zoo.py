"""The list of published files: valid, in agreement with the configs, and held against files."""

import hashlib
import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from runs_code import RunsCode

from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.checkpoints.shapes import shapes_only
from mmseg_uvpt.checkpoints.zoo import (
    ZooFile,
    check_contents,
    inspect,
    read_zoo,
    select,
    to_markdown,
)
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.nested import parts_of_type

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = read_zoo()
CONFIGS = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for folder in ('pretrain', 'uni_uvpt')
    for path in (REPOSITORY / 'configs' / folder).glob('*.py')
)
EMBEDDINGS = next(entry for entry in FILES if 'embeddings' in entry.file)


@pytest.fixture(scope='module')
def configs() -> dict[str, Config]:
    return {path: Config.fromfile(REPOSITORY / path) for path in CONFIGS}


def named_in(cfg: Config) -> set[tuple[str, str]]:
    """Return stage and path of the files that a config names."""
    found = {('source', cfg.model.get('source_checkpoint'))}
    for part in parts_of_type(cfg._cfg_dict, 'Pretrained'):
        found.add(('imagenet', part['checkpoint']))
    weights = cfg.model.data_preprocessor.get('weights') or {}
    found |= {('style', path) for path in weights.values()}
    found.add(
        ('adapted' if 'adapted' in cfg.uvpt.published else 'source', cfg.uvpt.released_checkpoint)
    )
    return {(stage, path.removeprefix('model/')) for stage, path in found if path}


def test_the_zoo_holds_what_the_configs_name_and_nothing_else(configs):
    named = set().union(*map(named_in, configs.values()))
    assert named == {(entry.stage, entry.file) for entry in FILES}


@pytest.mark.parametrize('entry', FILES, ids=lambda entry: entry.file)
def test_an_entry_agrees_with_its_config(entry, configs):
    cfg = configs[entry.config]
    assert (entry.stage, entry.file) in named_in(cfg)
    assert entry.score == cfg.uvpt.published.get(entry.stage)
    if entry.score:
        assert cfg.uvpt.released_checkpoint == f'model/{entry.file}'


def test_the_page_shows_the_zoo():
    page = (REPOSITORY / 'model/README.md').read_text()
    tables = re.search(r'<!-- zoo -->\n(.*?)\n<!-- /zoo -->', page, re.DOTALL)[1]
    assert tables == to_markdown(FILES), 'python tools/model_zoo.py list --markdown'


ENTRY = {
    'file': 'a/b.pth', 'stage': 'source', 'what': 'a model', 'config': 'configs/a.py',
    'score': {'mIoU19': 50.5}, 'size': 3, 'sha256': 'a' * 64, 'link': 'https://example.org/b',
}  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('file', '/etc/passwd', 'a path below the model folder'),
        ('file', '../b.pth', 'a path below'),
        ('file', 3, 'a path below'),
        ('stage', 'final', 'one of imagenet, style, source, adapted'),
        ('stage', [], 'one of imagenet'),
        ('score', {'mIoU': 3}, 'null, or mIoU19'),
        ('score', {'mIoU19': '3'}, 'null, or mIoU19'),
        ('score', {}, 'null, or mIoU19'),
        ('size', 0, 'a number of bytes'),
        ('size', True, 'a number of bytes'),
        ('sha256', 'abc', '64 hexadecimal digits'),
        ('sha256_prefix', 'xyz', 'hexadecimal digits'),
        ('link', 'javascript:x', 'a link'),
        ('weight', 3, 'unexpected keyword'),
    ],
)
def test_a_wrong_entry_is_named(name, value, message, tmp_path):
    path = tmp_path / 'zoo.json'
    path.write_text(json.dumps({'files': [ENTRY, {**ENTRY, 'file': 'c.pth', name: value}]}))
    with pytest.raises(UserError, match=rf'zoo\.json, entry 2 \(.*\): .*{name}.*') as error:
        read_zoo(path)
    assert message in str(error.value)


def test_a_wrong_list_is_named(tmp_path):
    path = tmp_path / 'zoo.json'
    with pytest.raises(UserError, match=r'zoo\.json does not exist'):
        read_zoo(path)
    lacking = {name: value for name, value in ENTRY.items() if name != 'link'}
    for text, message in (
        (b'{"files": [', r'cannot be read \(.*line 1'),
        (b'\xff', 'cannot be read'),
        (b'[]', 'holds a list'),
        (b'{"files": [3]}', 'entry 1: 3 is no object'),
        (json.dumps({'files': [lacking]}).encode(), r"entry 1 \(a/b\.pth\): missing 1 .*'link'"),
        (json.dumps({'files': [ENTRY, ENTRY]}).encode(), r'lists a/b\.pth twice'),
    ):
        path.write_bytes(text)
        with pytest.raises(UserError, match=message):
            read_zoo(path)
    path.write_text(json.dumps({'files': [ENTRY]}))
    assert read_zoo(path) == [ZooFile(**ENTRY)]


def test_selection():
    assert len(select(FILES, 'SSS_Swin-B_*')) == 4
    assert len(select(FILES, 'style/*')) == 5
    with pytest.raises(UserError, match=r'--only none\.pth fits none of the 23'):
        select(FILES, 'none.pth')


def test_size_and_hash(tmp_path):
    path = tmp_path / 'a/b.pth'
    path.parent.mkdir()
    path.write_bytes(b'abc')
    digest = hashlib.sha256(b'abc').hexdigest()
    known = ZooFile(**{**ENTRY, 'sha256': digest})
    for entry, status, detail in (
        (known, 'fits', ''),
        (replace(known, size=None, sha256=None), 'unknown', f'"size": 3, "sha256": "{digest}"'),
        (replace(known, sha256=None, sha256_prefix=digest[:8]), 'fits', digest),
        (replace(known, sha256=None, sha256_prefix='0' * 8), 'WRONG', 'must begin with 00000000'),
        (replace(known, sha256='0' * 64), 'WRONG', f'sha256 {digest}'),
        (replace(known, size=4), 'WRONG', '3 bytes instead of 4'),
        (replace(known, file='a'), 'WRONG', 'is a folder'),
    ):
        (finding,) = inspect([entry], tmp_path)
        assert (finding.status, detail in finding.detail) == (status, True), finding
    assert inspect([replace(known, file='gone')], tmp_path) == []


@pytest.mark.parametrize('stage', ['source', 'adapted'])
@pytest.mark.parametrize('backbone', ['swin', 'mit'])
def test_contents_of_models(stage, backbone, tmp_path):
    kind = {'source': 'pretrain', 'adapted': 'uni-uvpt'}[stage]
    config = f'configs/demo/{kind}_{backbone}-nano.py'
    entry = ZooFile(**{**ENTRY, 'stage': stage, 'config': config})
    init_default_scope('mmseg')
    with shapes_only():
        model = MODELS.build(Config.fromfile(REPOSITORY / config).model)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {'meta'}
    zeros = {k: torch.zeros(v.shape, dtype=v.dtype) for k, v in model.state_dict().items()}
    state = {f'module.{name}': tensor for name, tensor in to_released(zeros).items()}
    torch.save({'state_dict': state}, tmp_path / 'fits.pth')
    assert check_contents(entry, tmp_path / 'fits.pth').endswith(f'tensors fit {config}')
    state['module.decode_head.conv_seg.bias'] = torch.zeros(5)
    state.pop('module.decode_head.embed_layers.0.proj.bias')
    torch.save({'state_dict': state}, tmp_path / 'fits_not.pth')
    with pytest.raises(UserError, match=r'missing: .*embed_layers.*another shape: .*conv_seg'):
        check_contents(entry, tmp_path / 'fits_not.pth')


def embeddings(path: Path, **changes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    held = {'pbn_embedding_mean': torch.zeros(1, 100), 'pbn_embedding_covariance': torch.eye(100)}
    torch.save({**held, 'imagenet_embedding_mean': torch.zeros(100), **changes}, path)
    return path


def test_contents_of_style_files(tmp_path):
    path = embeddings(tmp_path / 'embeddings.pth')
    assert check_contents(EMBEDDINGS, path).startswith('2 tensors fit')
    embeddings(path, pbn_embedding_mean=torch.zeros(99))
    with pytest.raises(UserError, match=r'mean \(99,\) instead of \(100,\)'):
        check_contents(EMBEDDINGS, path)
    other = replace(EMBEDDINGS, file='style/other.pth')
    with pytest.raises(UserError, match=r'reads no file model/style/other\.pth'):
        check_contents(other, path)


@pytest.mark.slow
def test_full_size_names(shared_parity, tmp_path):
    """The published names and shapes, without values, fit the entries of the zoo."""
    for entry in select(FILES, 'SSS_*_GTAV_*'):
        name = 'swin' if 'Swin' in entry.file else 'mit'
        end = '_source' if entry.stage == 'source' else ''
        lines = (shared_parity / f'keys_{name}{end}.txt').read_text().splitlines()
        shapes = {k: [int(n) for n in s.split('x')] for k, s in map(str.split, lines)}
        # one number, seen in the published shape: the file stays small
        state = {k: torch.zeros(1).expand(shape) for k, shape in shapes.items()}
        torch.save({'state_dict': state}, tmp_path / 'released.pth')
        check_contents(entry, tmp_path / 'released.pth')


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs the tool in this process, giving its status and output."""

    def run_tool(*arguments) -> tuple[int, str]:
        monkeypatch.setattr(sys, 'argv', ['model_zoo.py', *map(str, arguments)])
        status = runpy.run_path(str(REPOSITORY / 'tools/model_zoo.py'))['main']()
        return status, capsys.readouterr().out

    return run_tool


def test_the_tool_lists(run, tmp_path):
    embeddings(tmp_path / EMBEDDINGS.file)
    status, out = run('list', '--model-root', tmp_path)
    assert status == 0
    assert [re.split(r' +\| +', line)[1] for line in out.splitlines()[3:-2]].count('yes') == 1
    listed = json.loads(run('list', '--json', '--only', 'style/*', '--model-root', tmp_path)[1])
    assert [entry['there'] for entry in listed] == [False] * 4 + [True]
    assert run('list', '--markdown')[1].strip() == to_markdown(FILES)


def test_the_tool_checks_and_verifies(run, tmp_path):
    assert run('verify', '--model-root', tmp_path) == (
        0, '0 files are there, 0 of them wrong; 23 are not\n'
    )  # fmt: skip
    with pytest.raises(UserError, match=r'none of the files that --only style/\* fits .*AdaIN'):
        run('check', '--model-root', tmp_path, '--only', 'style/*')
    embeddings(tmp_path / EMBEDDINGS.file)
    status, out = run('verify', '--model-root', tmp_path)
    assert status == 0
    assert '2 tensors fit' in out
    (tmp_path / 'mit_b5.pth').write_bytes(b'damaged')
    torch.save({'0.weight': RunsCode()}, tmp_path / 'style/vgg_normalised.pth')
    assert run('check', '--model-root', tmp_path)[0] == 0
    status, out = run('verify', '--model-root', tmp_path)
    assert status == 1
    assert re.search(r'WRONG +\S+mit_b5.pth: .*is damaged', out)
    assert re.search(r'WRONG +\S+vgg_normalised.pth: .*could run code', out)
    assert '3 files are there, 2 of them wrong; 20 are not' in out
    assert 'must never' not in out
