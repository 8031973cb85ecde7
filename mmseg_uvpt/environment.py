"""``python -m mmseg_uvpt.environment``: machine, versions and git revision, for a bug report."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch
from mmseg.utils import collect_env

import mmseg_uvpt
from mmseg_uvpt.ops import backends
from mmseg_uvpt.shipped import CHECKOUT, INSTALLED

_PACKAGES = (
    *('numpy', 'timm', 'onedl-mmcv', 'onedl-mmsegmentation'),
    *('opencv-python', 'opencv-python-headless'),  # either may be what is installed, or both
)


def git_revision(repository: Path = CHECKOUT) -> dict[str, str | bool | None]:
    """Return the ``commit`` checked out and whether files differ from it (``dirty``).

    Those in ``docs/`` do not count: they run nothing, and runs write their records there. Both
    are None where the package is no git checkout, or git is not installed.
    """
    if INSTALLED:  # a repository around it would be somebody else's
        return {'commit': None, 'dirty': None}
    try:
        commit = _git(repository, 'rev-parse', 'HEAD')
        status = ('status', '--porcelain', '--untracked-files=no')
        changed = _git(repository, *status, '--', ':/', ':(top,exclude)docs')
    except (OSError, subprocess.CalledProcessError):
        return {'commit': None, 'dirty': None}
    return {'commit': commit, 'dirty': bool(changed)}


def _git(repository: Path, *command: str) -> str:
    return subprocess.run(
        ['git', '-C', str(repository), *command], check=True, capture_output=True, text=True
    ).stdout.strip()


def environment() -> dict[str, str]:
    """Return the machine, the interpreter, the devices and the versions of what is installed."""
    found = {
        'host': platform.node(),
        'platform': platform.platform(),
        'processors': str(len(os.sched_getaffinity(0))),
        'mmseg_uvpt': mmseg_uvpt.__version__,
    }
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found | {key: str(value) for key, value in collect_env().items()}


def main() -> None:
    """Print a line of each, but not the host's name."""
    found, git = environment(), git_revision()
    del found['host']
    changed = ', with changes' if git['dirty'] else ''
    found['installed'] = 'as a wheel' if INSTALLED else f'checkout of {git["commit"]}{changed}'
    for device in ('cpu', *(['cuda'] if torch.cuda.is_available() else [])):
        found[f'deformable attention, {device}'] = _serving(device)
    for name, value in found.items():
        print(f'{name}: {value}')


def _serving(device: str) -> str:
    try:
        return backends.serving(torch.device(device))
    except RuntimeError as error:  # UVPT_OPS forces what is not there
        return str(error)


if __name__ == '__main__':
    main()
