"""``python -m mmseg_uvpt.ops``: which backends are there, why not the others, are they right."""

import argparse
import sys

import torch

from mmseg_uvpt.ops import backends, build, check

_PYRAMID = [(12, 14), (6, 7), (3, 4)]
_DEVICE = {'cpp': 'cpu', 'cuda': 'cuda'}


def _report() -> bool:
    """Print a line a backend; return whether all that are there are right."""
    print(f'reference  plain PyTorch {torch.__version__}, any device')
    right = True
    for name, device in _DEVICE.items():
        reason = backends.missing[name]
        if reason is None and device == 'cuda' and not torch.cuda.is_available():
            reason = f'{build.library(name)} is there, but torch sees no GPU'
        elif reason is None and device == 'cuda' and not backends.is_compiled(torch.device('cuda')):
            reason = backends.why_not_on(0)
        elif reason and build.COMMAND not in reason:
            reason += f'; {build.COMMAND} tries again'
        if reason:
            print(f'{name:9}  not here: {reason}')
            continue
        worst = _worst_error(name, device)
        agrees = worst < check.TOLERANCE[torch.float32]
        right &= agrees
        verdict = 'agrees with' if agrees else 'DIFFERS FROM'
        print(f'{name:9}  serves {device} tensors; {verdict} the reference (error {worst:.1e})')
    for device in ('cpu', *(['cuda'] if torch.cuda.is_available() else [])):
        try:
            print(f'{device} tensors are served by: {backends.serving(torch.device(device))}')
        except RuntimeError as error:
            print(f'{device} tensors: {error}')
    return right


def _worst_error(name: str, device: str) -> float:
    """Return the largest relative error in float32, of both entries and all gradients."""
    cases = (
        check.arguments(entry, *sizes, width=width)
        for entry in check.ENTRIES
        for sizes in ((_PYRAMID, _PYRAMID[1:2]), (_PYRAMID[1:2], _PYRAMID))
        for width in (2, 4, 10, 32)
    )
    return max(max(check.errors_of(name, case, device, torch.float32)) for case in cases)


def _build() -> None:
    """Build what this machine can, and say in a line each what came of it."""
    for name in _DEVICE:
        try:
            print(f'{name}: {build.build(name)}', flush=True)
        except build.BuildError as error:
            print(f'{name}: not built, plain PyTorch serves instead: {error}', flush=True)


def main() -> None:
    """Report, or build."""
    parser = argparse.ArgumentParser(
        prog='python -m mmseg_uvpt.ops',
        description='Tell which backends of deformable attention are there, why the others are '
        'not, and check each against plain PyTorch; or build what this machine can.',
        epilog='environment: UVPT_OPS=reference|cpp|cuda forces a backend; building reads CXX, '
        'CUDA_HOME and TORCH_CUDA_ARCH_LIST (such as "8.0 9.0+PTX")',
    )
    parser.add_argument('action', nargs='?', choices=['report', 'build'], default='report')
    if parser.parse_args().action == 'build':
        _build()
    elif not _report():
        sys.exit('error: a backend is wrong; UVPT_OPS=reference goes on without it')


if __name__ == '__main__':
    main()
