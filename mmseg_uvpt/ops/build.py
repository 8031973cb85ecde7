"""Building the compiled backends: ``python -m mmseg_uvpt.ops build``, which install.sh calls.

Each backend is one shared library that registers itself with torch when it is loaded. It needs a
C++ compiler, and for CUDA nvcc; it uses no Python headers, so one build serves any Python version.
Libraries lie in a folder named by a hash of sources, torch and flags: beside the environment's
packages, so that clones that share an environment share them too.
"""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object, write_json

COMMAND = 'python -m mmseg_uvpt.ops build'

SOURCES = Path(__file__).with_name('csrc')
_TORCH = Path(torch.__file__).parent
# CUDA code for these; newer GPUs compile the last one's intermediate code when it is first loaded
_ARCHITECTURES = '8.0 9.0+PTX'
USUAL_NVCC = '/usr/local/cuda/bin/nvcc'


class BuildError(Exception):
    """A backend cannot be built here; the message is one line."""


def torch_flags() -> list[str]:
    """Return the flags that let a source include torch's headers."""
    major, minor = (int(part) for part in torch.__version__.split('.')[:2])
    return [
        f'-std=c++{20 if (major, minor) >= (2, 9) else 17}',  # as torch's own headers need
        f'-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}',
        f'-DUVPT_TORCH={100 * major + minor}',
        *('-isystem', str(_TORCH / 'include')),
        *('-isystem', str(_TORCH / 'include/torch/csrc/api/include')),
    ]


def link_flags() -> list[str]:
    """Return the flags that link a library with torch's."""
    return [f'-L{_TORCH / "lib"}', '-lc10', '-ltorch_cpu']


def _openmp() -> list[str]:
    """Return the flags that link with the OpenMP that torch brought, whose threads it sets."""
    bundled = sorted((_TORCH / 'lib').glob('libgomp*.so*'))
    return [*map(str, bundled), '-Wl,--as-needed', '-fopenmp']


_CXX_FLAGS = (
    *('-O3', '-fPIC', '-fvisibility=hidden', '-fopenmp'),  # at::parallel_for is a loop without it
    *('-fno-math-errno', '-fno-trapping-math', '-ffp-contract=fast', '-Wno-psabi'),
)
_NVCC_FLAGS = ('-O3', '-Xcompiler=-fPIC,-fvisibility=hidden', '--threads=2')


@dataclass(frozen=True)
class Unit:
    """A source file and what compiles it."""

    source: str
    with_torch: bool = False


UNITS = {
    'cpp': (
        Unit('cpu.cpp', with_torch=True),
        Unit('cpu_baseline.cpp'),
        Unit('cpu_avx2.cpp'),
        Unit('cpu_avx512.cpp'),
    ),
    'cuda': (Unit('cuda.cpp', with_torch=True), Unit('cuda_kernels.cu')),
}


def _architectures() -> str | None:
    return os.environ.get('TORCH_CUDA_ARCH_LIST', '').replace(';', ' ').strip() or None


class _Architecture(NamedTuple):
    """An entry of ``TORCH_CUDA_ARCH_LIST``, such as ``9.0``, ``9.0a`` or ``9.0+PTX``."""

    major: int
    minor: int
    suffix: str  # of code for that GPU alone
    ptx: bool  # intermediate code as well


def _parsed(architectures: str) -> Iterator[_Architecture]:
    """Yield the entries of a list.

    Raises:
        BuildError: an entry is no compute capability.
    """
    for entry in architectures.split():
        parts = re.fullmatch(r'(\d+)\.?(\d)([a-z]?)(\+PTX)?', entry)
        if not parts:
            raise BuildError(
                f'TORCH_CUDA_ARCH_LIST: {entry!r} is not like 9.0 or 9.0+PTX (numbers, no names)'
            )
        yield _Architecture(int(parts[1]), int(parts[2]), parts[3], bool(parts[4]))


def architecture_flags(architectures: str) -> list[str]:
    """Return nvcc's flags for a list such as ``8.0 9.0+PTX``.

    Raises:
        BuildError: an entry is no compute capability.
    """
    flags = []
    for major, minor, suffix, ptx in _parsed(architectures):
        number = f'{major}{minor}{suffix}'
        kinds = ['sm', 'compute'] if ptx else ['sm']
        flags += [f'-gencode=arch=compute_{number},code={kind}_{number}' for kind in kinds]
    return flags


def built_for() -> str:
    """Return the architectures that the CUDA library has code for."""
    return _record('cuda').get('architectures') or _ARCHITECTURES


def covers(architectures: str, capability: tuple[int, int]) -> bool:
    """Tell whether code for some architectures runs on a GPU of a compute capability.

    Machine code runs on GPUs of its major version from its minor version on, intermediate code
    (``+PTX``) on all that are not older.
    """
    for major, minor, suffix, ptx in _parsed(architectures):
        same = capability[0] == major and (not suffix or capability[1] == minor)
        if capability >= (major, minor) and (same or (ptx and not suffix)):
            return True
    return False


@lru_cache
def _key() -> str:
    """Return the name of the folder for these sources, this torch and these flags."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        digest.update(path.name.encode() + b'\0' + path.read_bytes())
    digest.update(repr((torch.__version__, _CXX_FLAGS, _NVCC_FLAGS)).encode())
    return digest.hexdigest()[:16]


def folders() -> list[Path]:
    """Return where libraries may lie, the preferred place first."""
    roots = [Path(sys.prefix) / 'lib']
    cache = os.environ.get('XDG_CACHE_HOME')
    home = os.path.expanduser('~')  # stays '~' where nobody has a home
    if cache or os.path.isabs(home):
        roots.append(Path(cache or home + '/.cache'))
    return [root / 'mmseg-uvpt-ops' / _key() for root in roots]


def library(name: str) -> Path | None:
    """Return a backend's library if it was built."""
    files = (folder / f'uvpt_{name}.so' for folder in folders())
    return next((file for file in files if os.path.isfile(file)), None)


def _record(name: str) -> dict:
    """Return what the last build of a backend noted: how it was built, or why not."""
    files = (folder / f'uvpt_{name}.json' for folder in folders())
    file = next(filter(os.path.isfile, files), None)
    try:
        return read_object(file, '') if file else {}
    except UserError:  # as if it had not been built, which mends it
        return {}


def why_missing(name: str) -> str:
    """Return in one line why a backend has no library."""
    return str(_record(name).get('missing') or f'not built; {COMMAND} builds it')


def compiler() -> list[str]:
    """Return the command of the C++ compiler.

    Raises:
        BuildError: there is none.
    """
    try:
        named = shlex.split(os.environ.get('CXX', ''))
    except ValueError as error:
        raise BuildError(f'CXX={os.environ["CXX"]}: {error}') from error
    if named and not shutil.which(named[0]):
        raise BuildError(f'CXX={os.environ["CXX"]}: there is no command {named[0]}')
    if named:
        return named
    for name in ('c++', 'g++', 'clang++'):
        if shutil.which(name):
            return [name]
    raise BuildError('no C++ compiler (c++, g++, clang++ or $CXX): sudo apt-get install g++')


def cuda_compiler() -> Path:
    """Return the CUDA compiler.

    Raises:
        BuildError: there is none.
    """
    for root in (os.environ.get('CUDA_HOME'), os.environ.get('CUDA_PATH')):
        if root and (Path(root) / 'bin/nvcc').is_file():
            return Path(root) / 'bin/nvcc'
    found = shutil.which('nvcc') or USUAL_NVCC
    if not Path(found).is_file():
        raise BuildError(
            'no CUDA compiler: nvcc is neither on PATH nor below $CUDA_HOME or /usr/local/cuda'
        )
    return Path(found)


def _commands(name: str, folder: Path) -> Iterator[list[str]]:
    """Yield the commands that compile a backend's units into ``folder``, then the one that links.

    Raises:
        BuildError: a compiler is missing.
    """
    cxx = compiler()
    host = next(word for word in reversed(cxx) if not word.startswith('-'))  # in `ccache g++`: g++
    nvcc = cuda_compiler() if name == 'cuda' else None
    objects = []
    for unit in UNITS[name]:
        objects.append(str(folder / f'{unit.source}.o'))
        # nvcc compiles plain C++ too, and knows where CUDA's headers are
        flags = [str(nvcc), '-ccbin', host, *_NVCC_FLAGS] if nvcc else [*cxx, *_CXX_FLAGS]
        if unit.source.endswith('.cu'):
            flags += architecture_flags(_architectures() or _ARCHITECTURES)
        flags += torch_flags() if unit.with_torch else ['-std=c++17']
        yield [*flags, '-c', str(SOURCES / unit.source), '-o', objects[-1]]
    libraries = link_flags() if nvcc else [*link_flags(), *_openmp()]
    if nvcc and (_TORCH / 'lib/libc10_cuda.so').is_file():
        libraries.append('-lc10_cuda')
    linker = [str(nvcc), '-ccbin', host] if nvcc else cxx
    yield [*linker, '-shared', *objects, '-o', str(folder / 'library.so'), *libraries]


def run(command: list[str]) -> None:
    """Run a compiler.

    Raises:
        BuildError: it fails; the message is its first complaint.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if 'error' in line.lower()]
        log = Path(tempfile.gettempdir()) / f'uvpt-build-{os.getuid()}.log'
        log.write_text(f'{shlex.join(command)}\n{done.stdout}')
        first = (lines or done.stdout.splitlines() or ['no message'])[0].strip()
        raise BuildError(f'{Path(command[0]).name} failed: {first[:160]} (all of it in {log})')


def build(name: str) -> Path:
    """Build a backend, unless it was built before from the same sources for the same torch.

    Args:
        name: ``'cpp'`` or ``'cuda'``.

    Returns:
        Path: the library, which appears whole or not at all.

    Raises:
        BuildError: it cannot be built here; the reason is kept for `why_missing`.
    """
    found, wanted = library(name), _architectures() if name == 'cuda' else None
    if found and wanted in (None, _record(name).get('architectures')):
        return found
    home = writable(folders())
    try:
        with tempfile.TemporaryDirectory(dir=home) as scratch:
            *compilations, link = _commands(name, Path(scratch))
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(run, compilations))
            run(link)
            os.replace(Path(scratch) / 'library.so', home / f'uvpt_{name}.so')
        write_json(home / f'uvpt_{name}.json', {'architectures': wanted} if wanted else {})
    except (OSError, UserError) as error:
        raise BuildError(f'{home} cannot be written to: {error}') from error
    except BuildError as error:
        if not found:
            with contextlib.suppress(UserError):
                write_json(home / f'uvpt_{name}.json', {'missing': str(error)})
        raise
    return home / f'uvpt_{name}.so'


def writable(folders: list[Path]) -> Path:
    """Return the first folder that can be made and written to.

    Raises:
        BuildError: none can.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    raise BuildError(f'none of {", ".join(map(str, folders))} can be written to')
