"""Building the backends, what is said where it cannot be done, and forcing one."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.ops import backends, build


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Build into a folder where nothing is."""
    monkeypatch.setattr(build, 'folders', lambda: [tmp_path / 'built'])
    monkeypatch.delenv('TORCH_CUDA_ARCH_LIST', raising=False)
    return tmp_path / 'built'


def compiler(folder: Path, script: str) -> str:
    """Make a compiler that only runs ``script``, which may use the function ``output``."""
    path = folder / 'compiler'
    path.write_text(
        '#!/usr/bin/env bash\n'
        'output() { while [ "$1" != -o ]; do shift; done; echo "$2"; }\n' + script
    )
    path.chmod(0o755)
    return str(path)


def test_compilers_of_this_machine_were_used():
    """install.sh has built what can be built here, and it was loaded."""
    if shutil.which('c++'):
        assert backends.missing['cpp'] is None
        assert backends.serving(torch.device('cpu')) == 'cpp'
    if shutil.which('nvcc'):
        assert backends.missing['cuda'] is None
    if not (shutil.which('c++') or shutil.which('nvcc')):
        pytest.skip('no compiler here')


@pytest.mark.slow
def test_the_cpu_backend_shares_threads_with_torch():
    """Without OpenMP it would run on one core and still be right."""
    if backends.missing['cpp']:
        pytest.skip(f'cpp is not built: {backends.missing["cpp"]}')
    code = (
        'import torch; from mmseg_uvpt.ops import backends;'
        'print(*{line.split()[-1] for line in open("/proc/self/maps") if "omp" in line})'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 1, done.stdout
    assert b'GOMP_parallel' in build.library('cpp').read_bytes() or (
        b'__kmpc_fork_call' in build.library('cpp').read_bytes()
    )


def test_a_library_appears_once_and_is_found_again(home, tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', compiler(tmp_path, 'echo built >"$(output "$@")"'))
    assert build.library('cpp') is None
    path = build.build('cpp')
    assert path.read_text() == 'built\n'
    monkeypatch.setenv('CXX', compiler(tmp_path, 'exit 1'))
    assert build.build('cpp') == build.library('cpp') == path
    assert sorted(file.name for file in home.iterdir()) == ['uvpt_cpp.json', 'uvpt_cpp.so']


def test_no_compiler(home, monkeypatch):
    monkeypatch.delenv('CXX', raising=False)
    monkeypatch.setenv('PATH', '/nowhere')
    with pytest.raises(build.BuildError, match=r'no C\+\+ compiler .*apt-get install g\+\+'):
        build.build('cpp')
    assert build.why_missing('cpp').startswith('no C++ compiler')
    assert build.library('cpp') is None


def test_no_cuda_compiler(home, tmp_path, monkeypatch):
    monkeypatch.setenv('CXX', compiler(tmp_path, 'exit 1'))
    for name in ('CUDA_HOME', 'CUDA_PATH'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build.shutil, 'which', lambda name: None if name == 'nvcc' else name)
    monkeypatch.setattr(build, 'USUAL_NVCC', '/nowhere/nvcc')
    with pytest.raises(build.BuildError, match='no CUDA compiler: nvcc is neither on PATH'):
        build.build('cuda')


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(home, tmp_path, monkeypatch):
    failing = 'echo "in file x"; echo "x.h:3: error: no such thing" >&2; exit 1'
    monkeypatch.setenv('CXX', compiler(tmp_path, failing))
    with pytest.raises(
        build.BuildError, match=r'compiler failed: x.h:3: error: no such thing'
    ) as e:
        build.build('cpp')
    assert '\n' not in str(e.value)
    log = Path(str(e.value).split(' in ')[-1].rstrip(')'))
    assert 'in file x' in log.read_text()
    assert [file.name for file in home.iterdir()] == ['uvpt_cpp.json']
    assert build.why_missing('cpp') == str(e.value)
    monkeypatch.setenv('CXX', compiler(tmp_path, 'touch "$(output "$@")"'))
    build.build('cpp')  # tried again
    assert build.library('cpp')


def test_before_any_build_the_command_is_named(home):
    assert build.why_missing('cpp') == 'not built; python -m mmseg_uvpt.ops build builds it'


def test_an_unwritable_environment_gives_way_to_the_cache(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    folders = [tmp_path / 'file/in a file', tmp_path / 'cache']
    assert build.writable(folders) == folders[1]
    with pytest.raises(build.BuildError, match='can be written to'):
        build.writable(folders[:1])


def test_architectures(monkeypatch):
    assert build.architecture_flags('8.0 9.0+PTX') == [
        '-gencode=arch=compute_80,code=sm_80',
        '-gencode=arch=compute_90,code=sm_90',
        '-gencode=arch=compute_90,code=compute_90',
    ]
    for value, expected in (('8.6;12.0', '8.6 12.0'), (' ; ', None)):
        monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', value)
        assert build._architectures() == expected
    for wrong in ('Hopper', '9.0+ptx', '9', 'sm_90'):
        with pytest.raises(
            build.BuildError, match=f'TORCH_CUDA_ARCH_LIST: {wrong!r}'.replace('+', '.')
        ):
            build.architecture_flags(f'8.0 {wrong}')


def test_a_gpu_without_code_is_known():
    assert build.covers('8.0 9.0+PTX', (8, 0))
    assert build.covers('8.0 9.0+PTX', (8, 9))  # the same major version
    assert build.covers('8.0 9.0+PTX', (9, 0))
    assert build.covers('8.0 9.0+PTX', (12, 0))  # by intermediate code
    assert not build.covers('8.0 9.0+PTX', (7, 5))
    assert not build.covers('9.0', (8, 0))
    assert not build.covers('8.0', (9, 0))
    assert not build.covers('8.6', (8, 0))
    assert build.covers('90', (9, 0))  # nvcc's way of writing is taken too
    assert build.architecture_flags('90') == build.architecture_flags('9.0')
    assert build.architecture_flags('9.0a') == ['-gencode=arch=compute_90a,code=sm_90a']
    assert build.covers('9.0a', (9, 0))
    assert not build.covers('10.0a', (10, 3))


def test_the_plain_backend_serves_a_gpu_without_code(monkeypatch):
    monkeypatch.setitem(backends.missing, 'cuda', None)
    monkeypatch.setattr(build, 'built_for', lambda: '9.0')
    for capability, name in (((9, 0), 'cuda'), ((8, 0), 'reference')):
        backends._code_for.cache_clear()
        monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda _, c=capability: c)
        assert backends.serving(torch.device('cuda:0')) == name
    with (
        backends.forced('cuda'),
        pytest.raises(RuntimeError, match=r'code for 9.0, GPU 0 is of 8.0'),
    ):
        backends.serving(torch.device('cuda:0'))
    backends._code_for.cache_clear()


@pytest.mark.parametrize('cxx', ['nosuch', 'g++ "x', ' nosuch -m64'])
def test_a_compiler_that_is_not_there(home, monkeypatch, cxx):
    monkeypatch.setenv('CXX', cxx)
    with pytest.raises(build.BuildError, match='CXX='):
        build.build('cpp')


def test_a_wrapped_compiler_serves_nvcc(home, monkeypatch):
    commands = []
    monkeypatch.setattr(
        build, 'run', lambda c: commands.append(c) or Path(c[c.index('-o') + 1]).touch()
    )
    monkeypatch.setattr(build, 'cuda_compiler', lambda: Path('/cuda/bin/nvcc'))
    monkeypatch.setenv('CXX', 'env g++ -m64')
    build.build('cuda')
    assert all(command[1:3] == ['-ccbin', 'g++'] for command in commands)


def test_without_a_home_there_is_no_cache(monkeypatch):
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
    assert len(build.folders()) == 1
    assert build.library('nosuch') is None


def test_limits_agree_with_the_kernels():
    headers = ''.join(path.read_text() for path in build.SOURCES.glob('*.h'))
    for name in ('MAX_MAPS', 'CUDA_MAX_SAMPLES', 'CUDA_MAX_CHANNELS'):
        assert f'constexpr int {name} = {getattr(backends, name)};' in headers


def test_another_list_of_architectures_builds_anew(home, tmp_path, monkeypatch):
    monkeypatch.setattr(
        build, 'run', lambda command: Path(command[command.index('-o') + 1]).touch()
    )
    monkeypatch.setattr(build, 'cuda_compiler', lambda: Path('/cuda/bin/nvcc'))
    monkeypatch.setenv('CXX', 'c++')
    built = []
    for architectures in ('9.0', '9.0', None, '8.0'):
        if architectures:
            monkeypatch.setenv('TORCH_CUDA_ARCH_LIST', architectures)
        else:
            monkeypatch.delenv('TORCH_CUDA_ARCH_LIST')
        built.append(os.stat(build.build('cuda')).st_ino)
    assert built[0] == built[1] == built[2] != built[3]
    assert json.loads((home / 'uvpt_cuda.json').read_text()) == {'architectures': '8.0'}


def test_sources_are_in_the_package():
    names = {path.name for path in build.SOURCES.iterdir()}
    assert {unit.source for units in build.UNITS.values() for unit in units} <= names


def run_ops(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-m', 'mmseg_uvpt.ops', *arguments],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_the_report():
    done = run_ops()
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ['reference', 'cpp', 'cuda']
    if backends.missing['cpp'] is None:
        assert 'agrees with the reference (error ' in lines[1]
        assert 'cpu tensors are served by: cpp' in lines
    else:
        assert f'not here: {backends.missing["cpp"]}' in lines[1]


@pytest.mark.slow
def test_uvpt_ops_forces_a_backend():
    assert 'cpu tensors are served by: reference' in run_ops(UVPT_OPS='reference').stdout
    wanted = 'is not there' if backends.missing['cuda'] else 'serves no tensors on cpu'
    assert re.search(f'UVPT_OPS=cuda.* {wanted}', run_ops(UVPT_OPS='cuda').stdout)
    done = run_ops(UVPT_OPS='fast')
    assert done.returncode != 0
    assert 'UVPT_OPS=fast: must be one of reference, cpp, cuda' in done.stdout.splitlines()[-1]


def test_a_library_that_does_not_load_is_reported(home):
    home.mkdir()
    (home / 'uvpt_cpp.so').write_text('no library')
    assert backends._load('cpp').startswith(f'{home}/uvpt_cpp.so does not load: ')
