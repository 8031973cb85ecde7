"""Exported checkpoints: stripped, split and joined again, bit for bit."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from runs_code import RunsCode

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints import reading
from mmseg_uvpt.checkpoints.export import join, split, strip
from mmseg_uvpt.checkpoints.hashes import contents_sha256
from mmseg_uvpt.checkpoints.loading import load_file, load_source_model
from mmseg_uvpt.checkpoints.names import to_ours, to_released
from mmseg_uvpt.checkpoints.reading import SUFFIXES, read_file, write_file
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import refuse_to_replace

REPOSITORY = Path(__file__).resolve().parents[2]
META = {'CLASSES': ('road', 'sidewalk'), 'iter': 4, 'env_info': 'of no use', 'seed': None}


def build(name: str) -> torch.nn.Module:
    init_default_scope('mmseg')
    config = Config.fromfile(REPOSITORY / f'configs/_base_/models/{name}.py')
    return MODELS.build(config.model)


def released(state: dict) -> dict:
    return {f'module.{name}': tensor.clone() for name, tensor in to_released(state).items()}


def save(folder: Path, name: str, state: dict, **more) -> None:
    """Save a state dict under our and under released names, in both formats."""
    for kind, tensors in (('own', state), ('released', released(state))):
        torch.save({'meta': META, 'state_dict': tensors, **more}, folder / f'{name}_{kind}.pth')
        write_file({'state_dict': tensors}, folder / f'{name}_{kind}.safetensors')


@pytest.fixture(scope='module', params=['swin-nano', 'mit-nano'])
def files(request, tmp_path_factory) -> Path:
    """A folder with a source model and what was adapted from it, values with odd bits included."""
    folder = tmp_path_factory.mktemp(request.param)
    source = build(f'{request.param}_source').state_dict()
    first = next(name for name in source if name.startswith('backbone.') and 'norm' in name)
    source[first][:2] = torch.tensor([float('nan'), -0.0])
    save(folder, 'source', source)
    adapted = build(f'{request.param}_uni-uvpt').state_dict()
    adapted |= {n: t for n, t in to_ours(source, prompted=True).items() if 'staged' in n}
    save(folder, 'adapted', adapted, optimizer={'state': {0: torch.zeros(100_000)}})
    return folder


def assert_same_bits(found: dict, expected: dict) -> None:
    assert list(found['state_dict']) == list(expected['state_dict'])
    assert found['meta'] == expected['meta']
    # one digest covers names, types, shapes and bytes
    assert contents_sha256(found['state_dict']) == contents_sha256(expected['state_dict'])


@pytest.mark.parametrize(('names', 'form'), [('own', '.safetensors'), ('released', '.pth')])
def test_joined_is_stripped_bit_for_bit(names, form, files, tmp_path):
    adapted = files / f'adapted_{names}.pth'
    other = {'own': 'released', 'released': 'own'}[names]
    write_file(strip(adapted), tmp_path / f'stripped{form}')
    write_file(split(adapted, files / f'source_{other}.pth'), tmp_path / f'small{form}')
    whole = join(tmp_path / f'small{form}', files / f'source_{names}.safetensors')
    assert_same_bits(whole, strip(adapted))
    write_file(whole, tmp_path / f'joined{form}')
    assert (tmp_path / f'joined{form}').read_bytes() == (tmp_path / f'stripped{form}').read_bytes()
    assert_same_bits(load_file(tmp_path / f'joined{form}'), strip(adapted))


def test_stripped_holds_weights_and_plain_meta(files, tmp_path):
    adapted, out = files / 'adapted_own.pth', tmp_path / 'stripped.safetensors'
    write_file(strip(adapted), out)
    found = load_file(out)
    assert found['meta'] == {'CLASSES': ['road', 'sidewalk'], 'iter': 4, 'seed': None}
    assert found.keys() == {'meta', 'state_dict'}
    assert out.stat().st_size < adapted.stat().st_size - 4 * 100_000
    small = split(adapted, files / 'source_own.pth')
    parameters = [n for n in small['state_dict'] if 'relative_position_index' not in n]
    assert not any('.staged.' in name for name in parameters)
    assert small['split']['source'] == 'source_own.pth'


def test_shared_and_sliced_tensors(tmp_path):
    whole = torch.arange(100_000.0)
    tensors = {'a': whole[10:20], 'b': whole[10:20], 'c': whole[:6].view(2, 3).T, 'd': whole[:0]}
    torch.save({'state_dict': {**tensors, 'e': torch.tensor(3)}}, tmp_path / 'in.pth')
    for form in reading.SUFFIXES:
        out = tmp_path / f'out{form}'
        write_file(strip(tmp_path / 'in.pth'), out)
        assert out.stat().st_size < 10_000
        assert_same_bits(load_file(out), strip(tmp_path / 'in.pth'))
    assert load_file(tmp_path / 'out.pth')['state_dict']['e'].shape == ()


def test_a_safetensors_file_of_others(tmp_path):
    from safetensors.torch import save_file

    save_file({'b': torch.ones(2), 'a': torch.zeros(1)}, tmp_path / 'others.safetensors')
    found = load_file(tmp_path / 'others.safetensors')
    assert found['meta'] == {}
    assert found['state_dict']['b'].tolist() == [1, 1]


def test_another_source_model_is_refused(files, tmp_path):
    adapted, small = files / 'adapted_own.pth', tmp_path / 'small.pth'
    contents = load_file(files / 'source_own.pth')
    name = next(n for n in contents['state_dict'] if n.startswith('backbone.patch_embed'))
    contents['state_dict'][name].view(-1)[0] += 1
    torch.save(contents, tmp_path / 'other.pth')
    with pytest.raises(
        UserError, match=r"adapted_own.pth is not that of .*other.pth: .*tune='all'"
    ):
        split(adapted, tmp_path / 'other.pth')
    write_file(split(adapted, files / 'source_own.pth'), small)
    with pytest.raises(UserError, match=r'other.pth is not the source .*small.pth.*source_own.pth'):
        join(small, tmp_path / 'other.pth')


def test_kinds_are_told_apart(files, tmp_path):
    source, adapted = files / 'source_own.pth', files / 'adapted_released.pth'
    small = tmp_path / 'small.safetensors'
    write_file(split(adapted, source), small)
    with pytest.raises(UserError, match=r'source_own.pth is a source model'):
        split(source, source)
    with pytest.raises(UserError, match=r'adapted_released.pth is an adapted model'):
        split(adapted, adapted)
    with pytest.raises(UserError, match='is a whole checkpoint: there is nothing to join'):
        join(adapted, source)
    torch.save({'weight': torch.zeros(1)}, tmp_path / 'none.pth')
    with pytest.raises(UserError, match=r'none.pth is no source model'):
        join(small, tmp_path / 'none.pth')
    for use in (load_file, strip, lambda path: split(path, source)):
        with pytest.raises(UserError, match=r'export_checkpoint.py join .*small.safetensors'):
            use(small)


def test_a_small_file_that_was_tampered_with(files, tmp_path):
    whole = split(files / 'adapted_own.pth', files / 'source_own.pth')
    names = whole['split']['names']
    for wrong in (None, 3, names[1:], [*names, 'backbone.extra'], [[]]):
        torch.save({**whole, 'split': {**whole['split'], 'names': wrong}}, tmp_path / 'small.pth')
        with pytest.raises(UserError, match=r'small.pth is damaged: its list of names'):
            join(tmp_path / 'small.pth', files / 'source_own.pth')


@pytest.mark.parametrize('form', ['.pth', '.safetensors'])
def test_damaged_files(form, files, tmp_path):
    path = tmp_path / f'broken{form}'
    data = (files / f'adapted_own{form}').read_bytes()
    for content in (b'', b'no checkpoint', data[: len(data) // 2], data[:100]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf'broken{form} is damaged or no checkpoint'):
            strip(path)
    with pytest.raises(UserError, match='is a folder'):
        strip(tmp_path)
    with pytest.raises(UserError, match='does not exist'):
        strip(tmp_path / f'gone{form}')


@pytest.mark.parametrize(
    'header', ['[]', '{"names": ["b"]}', '{"names": 3}', '{', '{"names": [[]]}']
)
def test_a_damaged_header(header, tmp_path):
    from safetensors.torch import save_file

    save_file({'a': torch.zeros(1)}, tmp_path / 'odd.safetensors', {'uni_uvpt': header})
    with pytest.raises(UserError, match=r'odd.safetensors is damaged'):
        read_file(tmp_path / 'odd.safetensors')


def test_a_file_that_would_run_code(tmp_path, capsys):
    torch.save({'state_dict': {'a': torch.zeros(1)}, 'meta': RunsCode()}, tmp_path / 'evil.pth')
    with pytest.raises(UserError, match='could run code'):
        strip(tmp_path / 'evil.pth')
    assert 'never' not in capsys.readouterr().out


def test_what_may_be_written(tmp_path):
    there, link = tmp_path / 'there.pth', tmp_path / 'link.pth'
    there.touch()
    link.symlink_to(there)
    (tmp_path / 'folder.pth').mkdir()
    refuse_to_replace(tmp_path / 'new.safetensors', [there], False, SUFFIXES)
    refuse_to_replace(there, [tmp_path / 'gone.pth'], True, SUFFIXES)
    for out, inputs, force, message in (
        (there, [], False, 'exists: name another file, or replace it with --force'),
        (link, [there], True, 'which is read'),
        (tmp_path / 'folder.pth', [], True, 'is a folder'),
        (tmp_path / 'new.bin', [], True, r'must end in \.pth or \.safetensors'),
    ):
        with pytest.raises(UserError, match=message):
            refuse_to_replace(out, inputs, force, SUFFIXES)


def test_released_key_lists(shared_parity, tmp_path):
    """All names and shapes of the full-size models, values left out."""
    for backbone in ('swin', 'mit'):
        state = {}
        for kind in ('source', 'adapted'):
            file = f'keys_{backbone}{"_source" if kind == "source" else ""}.txt'
            lines = [line.split() for line in (shared_parity / file).read_text().splitlines()]
            # a row of each is enough to tell names and shapes apart, and keeps the files small
            state[kind] = {f'module.{n}': torch.zeros(len(s), dtype=torch.int16) for n, s in lines}
            torch.save({'state_dict': state[kind]}, tmp_path / f'{kind}.pth')
        write_file(
            split(tmp_path / 'adapted.pth', tmp_path / 'source.pth'), tmp_path / 'small.safetensors'
        )
        whole = join(tmp_path / 'small.safetensors', tmp_path / 'source.pth')
        assert_same_bits(whole, strip(tmp_path / 'adapted.pth'))


TOOL = 'tools/export_checkpoint.py'


@pytest.fixture
def run(monkeypatch):
    """Return a function that runs the tool in this process, which spares seconds of imports."""

    def run_tool(*arguments) -> None:
        monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
        runpy.run_path(str(REPOSITORY / TOOL))['main']()

    return run_tool


@pytest.fixture
def swin(tmp_path) -> Path:
    """A folder with a small source model and its adapted one, no more than names."""
    source = {'backbone.norm0.weight': torch.randn(100, 1000)}
    torch.save({'state_dict': source}, tmp_path / 'source.pth')
    adapted = {'scale_weights': torch.ones(3), 'backbone.adapters.0.gamma': torch.ones(100, 1000)}
    adapted['backbone.staged.norm0.weight'] = source['backbone.norm0.weight']
    torch.save({'state_dict': adapted}, tmp_path / 'adapted.pth')
    return tmp_path


def test_the_tool(swin, run, capsys):
    adapted, source = swin / 'adapted.pth', swin / 'source.pth'
    small, whole = swin / 'small.safetensors', swin / 'whole.pth'
    run('split', adapted, source, small)
    run('join', small, source, whole)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ['read', 'read', 'written'] * 2
    assert lines[2] == ['written', '0.4', 'MB', str(small)]
    assert lines[-1] == ['written', '0.8', 'MB', str(whole)]
    assert_same_bits(load_file(whole), strip(adapted))
    before = small.read_bytes()
    with pytest.raises(UserError, match='exists'):
        run('split', adapted, source, small)
    with pytest.raises(UserError, match='which is read'):
        run('strip', adapted, adapted, '--force')
    assert small.read_bytes() == before


@pytest.mark.slow
def test_a_full_disk(swin):
    out = swin / 'out.pth'
    out.write_bytes(b'as it was')
    limited = 'trap "" XFSZ; ulimit -f 100; exec "$@"'
    arguments = ['strip', str(swin / 'adapted.pth'), str(out), '--force']
    done = subprocess.run(
        ['bash', '-c', limited, 'bash', sys.executable, TOOL, *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: cannot write {out}: File too large')
    assert out.read_bytes() == b'as it was'
    assert not list(swin.glob('.*'))


def test_models_load_exported_files(files, tmp_path):
    path = tmp_path / 'stripped.safetensors'
    write_file(strip(files / 'adapted_own.pth'), path)
    model = build(f'{files.name.rstrip("0123456789")}_uni-uvpt')
    load_checkpoint(model, str(path))
    expected = strip(path)['state_dict']
    assert contents_sha256(model.state_dict()) == contents_sha256(expected)
    load_source_model(model, files / 'source_released.safetensors')
    write_file(split(path, files / 'source_own.pth'), tmp_path / 'small.pth')
    with pytest.raises(UserError, match=r'export_checkpoint\.py join'):
        load_checkpoint(model, str(tmp_path / 'small.pth'))


def test_a_source_model_of_another_precision_is_told_from_another_model(files, tmp_path):
    contents = load_file(files / 'source_own.pth')
    contents['state_dict'] = {n: t.half() for n, t in contents['state_dict'].items()}
    torch.save(contents, tmp_path / 'half.pth')
    with pytest.raises(UserError, match=r'half.pth holds torch.float16 numbers, .* strip'):
        split(files / 'adapted_own.pth', tmp_path / 'half.pth')
