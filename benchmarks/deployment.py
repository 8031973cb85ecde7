"""Time and score a model and the files that are exported of it, in one run on the CPU.

The files are made by tools/export_model.py at the config's test size, and kept in --files for
another run: a .pt2, an ONNX file, and one in int8. All see the same images of the
config's test set, one at a time and in turns; the median counts. "plain" is the model as models/
has it, which the ratios are against, "accelerated" what test.py runs. The mIoU is over all labelled
images, logits resized to the labels' size. Times are those of the processor, which other programs
on the machine disturb less; OMP_NUM_THREADS says how many threads all take.
"""

import argparse
import copy
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle
from pathlib import Path

import torch
from measuring import made_how, milliseconds, seconds_on_cpu
from torch import Tensor

REPOSITORY = Path(__file__).resolve().parents[1]


def make_file(args: argparse.Namespace, name: str, *options: str) -> Path:
    """Export the model unless the file is there."""
    out = args.files / name
    if not out.exists():
        tool = [sys.executable, REPOSITORY / 'tools/export_model.py', args.config, args.checkpoint]
        began, root = time.perf_counter(), ['--data-root', args.data_root]
        subprocess.run([*tool, '--out', out, *options, *root], check=True)
        print(f'{name}: exported in {time.perf_counter() - began:.0f} s', flush=True)
    return out


def score(run: Callable[[Tensor], Tensor], frames: list, classes: tuple, align: bool) -> float:
    """Return the mIoU in percent of frames: images (1, 3, H, W) and their labels."""
    from mmseg_uvpt.engine.inference.logits_to_labels import resized_label
    from mmseg_uvpt.evaluation.bootstrap import ImageCounts
    from mmseg_uvpt.evaluation.iou import confusion_matrix
    from mmseg_uvpt.evaluation.score import Score

    counts = []
    for image, truth in frames:
        label = resized_label(run(image), tuple(truth.shape), align)[0]
        counts.append(confusion_matrix(label, truth, len(classes)))
    return Score(classes, ImageCounts.of(counts)).metrics()['mIoU']


def main() -> None:
    """Export, time, score, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('checkpoint')
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--files', type=Path, required=True, help='folder of the exported files')
    parser.add_argument('--rounds', type=int, default=15)
    args = parser.parse_args()

    from mmseg.registry import DATASETS

    from mmseg_uvpt.acceleration.accelerate import accelerate
    from mmseg_uvpt.deployment import formats
    from mmseg_uvpt.deployment.exported_network import eager_logits
    from mmseg_uvpt.engine.config.resolve import resolve
    from mmseg_uvpt.engine.inference.exported import resize_before
    from mmseg_uvpt.engine.inference.model import source_model
    from mmseg_uvpt.files import file_hash
    from mmseg_uvpt.ops import backends

    args.cfg_options = []
    cfg = resolve(args)
    plain = source_model(cfg, args.checkpoint)
    fast = copy.deepcopy(plain)
    accelerate(fast)
    width, height = resize_before(cfg)['scale']
    fixed = ('--fixed-size', str(height), str(width))
    threads = torch.get_num_threads()
    files = [
        make_file(args, 'model.pt2', *fixed),
        make_file(args, 'model.onnx', *fixed),
        make_file(args, 'int8.onnx', '--int8', *fixed),
    ]

    def as_reference(images: Tensor) -> Tensor:
        with backends.forced('reference'):
            return eager_logits(plain, images)

    pt2, onnx, int8 = (path.read_bytes() for path in files)
    made_of = file_hash(args.checkpoint).encode()
    if not all(made_of in data for data in (pt2, onnx, int8)):
        parser.error(f'--files {args.files} holds files of another checkpoint')
    runs = {
        'plain': as_reference,
        'accelerated': partial(eager_logits, fast),
        '.pt2': formats.run_pt2(pt2),
        'ONNX': formats.run_onnx(onnx, threads),
        'ONNX, int8': formats.run_onnx(int8, threads),
    }
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    frames = []
    for item in dataset:
        truth = item['data_samples'].gt_sem_seg.data[0]
        frames.append((item['inputs'].flip(0)[None].contiguous(), truth))
    images = cycle(frames[: args.rounds])
    turn = {name: partial(lambda run: run(next(images)[0]), run) for name, run in runs.items()}
    seconds = seconds_on_cpu(turn, args.rounds, time.process_time)
    print(made_how('cpu', {}))
    print(
        f'{len(frames)} images, {threads} threads, files of '
        f'{[f"{path.stat().st_size / 1e6:.1f} MB" for path in files]}'
    )
    for name, run in runs.items():
        miou = score(run, frames, tuple(dataset.metainfo['classes']), plain.align_corners)
        ratio = seconds['plain'] / seconds[name]
        print(
            f'{name:12} {milliseconds(seconds[name])} ms, {ratio:.2f} times; mIoU {miou:.2f}',
            flush=True,
        )


if __name__ == '__main__':
    main()
