"""What the benchmarks share: turns, the speed of memory, and how figures were made."""

import argparse
import datetime
import math
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import (
    FlopCounterMode,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

import mmseg_uvpt  # noqa: F401  # before anything imports torchvision, which mmseg.models does

GPU_BYTES_PER_SECOND = 3.0e12  # of an H100's memory


def parser_of(description: str, example: str) -> argparse.ArgumentParser:
    """Return the parser of a benchmark, with an option for its figures."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f'example: python benchmarks/{example}',
    )
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    return parser


def chosen_device(parser: argparse.ArgumentParser, asked: str | None) -> str:
    """Return ``'cpu'`` or ``'cuda'``: what ``--device`` asks for, or a GPU if there is one."""
    device = asked or ('cuda' if torch.cuda.is_available() else 'cpu')
    if device == 'cuda' and not torch.cuda.is_available():
        parser.error('--device cuda: torch sees no GPU here')
    return device


def turns(
    runs: dict[str, Callable], rounds: int, clocks: dict[str, Callable[[], float]]
) -> dict[str, dict[str, float]]:
    """Return the median of each run by each clock; runs take turns, after a round to warm up."""
    times = {name: {clock: [] for clock in clocks} for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            starts = {clock: now() for clock, now in clocks.items()}
            run()
            if number:
                for clock, now in clocks.items():
                    times[name][clock].append(now() - starts[clock])
    return {
        name: {clock: statistics.median(values) for clock, values in row.items()}
        for name, row in times.items()
    }


def seconds_on_cpu(
    runs: dict[str, Callable], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Return the median time of each run by one clock, see `turns`."""
    found = turns(runs, rounds, {'seconds': clock})
    return {name: row['seconds'] for name, row in found.items()}


def waited(run: Callable, device: str) -> Callable:
    """Return ``run`` for a clock on the CPU: on a GPU it then ends when the work there has."""
    if device != 'cuda':
        return run

    def until_done(*args, **kwargs):
        result = run(*args, **kwargs)
        torch.cuda.synchronize()
        return result

    return until_done


def copy_bytes_per_second(device: str = 'cpu') -> float:
    """Return how many bytes a large copy on a device moves, reading and writing."""
    size = 1 << 30 if device == 'cuda' else 64 << 20  # more than caches hold
    source, target = torch.zeros(2, size, dtype=torch.uint8, device=device)
    copy = waited(lambda: target.copy_(source), device)
    best = min(seconds_on_cpu({'copy': copy}, 5).values())
    return 2 * source.numel() / best


def operations_per_second(device: str, dtype: torch.dtype = torch.float32) -> float:
    """Return the speed of a large product of matrices; the fastest of several counts."""
    side = 8192 if device == 'cuda' else 2048
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    product = waited(lambda: torch.mm(a, b), device)
    return 2 * side**3 / min(seconds_on_cpu({'': product}, 1)[''] for _ in range(5))


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds, to four digits."""
    return f'{float(f"{1e3 * seconds:.4g}"):.10g}'


def operations(run: Callable[[], object]) -> int:
    """Return the operations of products, convolutions and attention in a call.

    A multiplication is one, an addition another.
    """
    aten = torch.ops.aten
    mended = {
        aten.convolution_backward: _of_convolution_backward,
        # torch counts attention on GPUs only
        aten._scaled_dot_product_flash_attention_for_cpu: _of_attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _of_attention_backward,
    }
    with FlopCounterMode(display=False, custom_mapping=mended) as counter:
        run()
    return counter.get_total_flops()


def _of_convolution_backward(grad_shape, x_shape, weight_shape, *args, out_shape=None) -> int:
    """Count each gradient that is asked for like the forward pass.

    torch counts that of a weight as if there were no groups: of a depthwise convolution with C
    channels C times what it costs.
    """
    of_input, of_weight, _ = args[-1]
    return 2 * math.prod(grad_shape) * math.prod(weight_shape[1:]) * (of_input + of_weight)


def _of_attention(query_shape, key_shape, value_shape, *_, **__) -> int:
    return sdpa_flop_count(query_shape, key_shape, value_shape)


def _of_attention_backward(grad_shape, query_shape, key_shape, value_shape, *_, **__) -> int:
    return sdpa_backward_flop_count(grad_shape, query_shape, key_shape, value_shape)


def write_target(folder: Path, frames: int, size: tuple[int, int]) -> None:
    """Write noise as Cityscapes' training images, and labels in blocks as pseudo labels.

    Args:
        folder: takes ``cityscapes`` and ``labels``.
        frames: how many.
        size: (height, width) in pixels, multiples of 32.
    """
    rng = np.random.default_rng(0)
    for number in range(frames):
        image = folder / f'cityscapes/leftImg8bit/train/city/{number}_leftImg8bit.png'
        label = folder / f'labels/city/{number}_gtFine_labelTrainIds.png'
        blocks = rng.integers(0, 19, (size[0] // 32, size[1] // 32), np.uint8)
        pixels = np.kron(blocks, np.ones((32, 32), np.uint8))
        noise = rng.integers(0, 256, (*size, 3), np.uint8)
        for path, array in ((image, noise), (label, pixels)):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), array)


def made_how(device: str, absent: dict[str, str]) -> dict:
    """Return when, where and how the figures were measured."""
    if device == 'cuda':
        processor = torch.cuda.get_device_name()
    else:
        lines = Path('/proc/cpuinfo').read_text().splitlines() if sys.platform == 'linux' else []
        models = (line.split(': ')[1] for line in lines if line.startswith('model name'))
        processor = f'{next(models, platform.machine())}, {torch.get_num_threads()} threads'
    commit = subprocess.run(
        ['git', 'rev-parse', '--short', 'HEAD'],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )
    return {
        'date': datetime.date.today().isoformat(),
        'device': processor,
        'torch': torch.__version__,
        'commit': commit.stdout.strip(),
        'command': shlex.join(['python', *sys.argv]),
        'not_measured': absent,
    }


def tell(figures: dict) -> None:
    """Print names and values."""
    for name, value in figures.items():
        print(f'{name}: {value:.4g}' if isinstance(value, float) else f'{name}: {value}')
