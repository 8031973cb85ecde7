"""Time the passes of test.py and generate_pseudo_label.py, and the parts that they consist of.

The plain form is what --plain runs, in float32; it stands beside each form that is asked for. All
run the scripts as they are called, in turns, in processes of their own, on the same frames and the
same random weights, on a GPU where there is one; the median counts. A pass is
what happens between the first frame and the last: reading, network, labels, counting or writing,
but not the start of the script. The network sees one frame before the clock starts, which compiles
it or chooses its algorithms; that frame's time stands apart. The parts are timed alone, one frame
each, until the GPU is done; only a network sees as many at a time as --batch-size says.

The floor of the network is its arithmetic at the speed of a large product of matrices, in float32
or for the forms with --amp in bfloat16; of the other parts the bytes that they must read and write
at the speed of a large copy in the memory of the device, both measured in the same run. Reading
and writing PNGs has none, and copies between a GPU and main memory are in no floor. On machines
that do other things meanwhile, look at the seconds of processors rather than at those of the clock.
"""

import argparse
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import torch
import torch._dynamo

REPOSITORY = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 1024, 2048
PASSES = ('test.py', 'generate_pseudo_label.py')
PLAIN = ['--plain']
FORMS = {'float32': [], 'bfloat16': ['--amp'], 'bfloat16, compiled': ['--amp', '--compile']}
FLAGS = ('--plain', '--amp', '--compile')
DISTINCT = 8  # frames; more are links to these


def make_frames(root: Path, count: int) -> None:
    """Write frames like photographs, as far as a PNG's decoder can tell (about 2 MB each)."""
    random = np.random.default_rng(0)
    made = []
    for i in range(count):
        name = f'street/street_{i:06d}_000019'
        files = [
            root / file
            for split in ('train', 'val')
            for file in (
                f'leftImg8bit/{split}/{name}_leftImg8bit.png',
                f'gtFine/{split}/{name}_gtFine_labelTrainIds.png',
            )
        ]
        if i >= DISTINCT:
            for file, same in zip(files, made[i % DISTINCT], strict=True):
                file.hardlink_to(same)
            continue
        made.append(files)
        coarse = random.integers(0, 255, (16, 32, 3)).astype(np.uint8)
        smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noise = random.normal(0, 1.2, smooth.shape)
        image = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        label = random.integers(0, 19, (16, 32)).astype(np.uint8)
        label = cv2.resize(label, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        for file, pixels in zip(files, (image, label) * 2, strict=True):
            _write(file, pixels)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def make_recipe(path: Path, model: str, workers: int) -> None:
    """Write the config of an adaptation."""
    bases = [f'models/{model}_uni-uvpt.py', 'datasets/cityscapes_adaptation.py']
    bases += ['schedules/adapt_80k.py']
    paths = [str(REPOSITORY / 'configs/_base_' / base) for base in bases]
    correction = "dict(label_correction=dict(pseudo_label_dir='data/labels'))"
    loaders = ''.join(
        f'{name}_dataloader = dict(num_workers={workers})\n' for name in ('test', 'target_train')
    )
    path.write_text(f'_base_ = {paths}\ndefault_hooks = {correction}\n{loaders}')


def make_checkpoints(folder: Path, model: str) -> None:
    """Write random weights: adapted, and its source."""
    from whole_model import make_model, source_tensors

    adapted = make_model(model)
    torch.save({'state_dict': adapted.state_dict()}, folder / 'adapted.pth')
    torch.save({'state_dict': source_tensors(adapted)}, folder / 'source.pth')


class Clock:
    """Measures a call: seconds of the clock, and of this process's and its children's processors.

    Those of children count when they have ended.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    def around(self, name: str, function: Callable, first: Callable) -> Callable:
        """Return ``function``, which then notes under ``name`` what a call took.

        ``first`` takes the same arguments and is called before; what it took stands apart.
        """

        def timed(*args, **kwargs):
            start = time.perf_counter()
            first(*args, **kwargs)
            first_seconds = time.perf_counter() - start
            clock, processors = time.perf_counter(), _processor_seconds()
            result = function(*args, **kwargs)
            self.found[name] = {
                'seconds': time.perf_counter() - clock,
                'processor_seconds': _processor_seconds() - processors,
                'first_seconds': first_seconds,
            }
            return result

        return timed


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def first_of_test(loop) -> None:
    """Let a test's network see a frame, which is not counted.

    The workers start before, as in a test, and stay (configs have `persistent_workers`): memory
    that the network has used by then would be copied page by page when either side writes to it.
    """
    loop.runner.model.eval()
    batch = next(iter(loop.dataloader))
    with mock.patch.object(loop.evaluator, 'process'), mock.patch.object(loop.runner, 'call_hook'):
        loop.run_iter(0, batch)


def first_of_labelling(cfg, dataset, frames, mine, model, report) -> None:
    """Let a source model see a frame, whose label is not written."""
    from mmengine.dataset import pseudo_collate

    from mmseg_uvpt.engine.inference.loop import predict

    list(predict(model, [pseudo_collate([dataset[0]])]))


def run_passes(folder: Path, options: list[str], out: Path) -> dict:
    """Run both scripts in this process."""
    from mmengine.runner import TestLoop

    from mmseg_uvpt.engine.inference import pseudo_labels
    from mmseg_uvpt.engine.scripts import generate_pseudo_label, test

    clock = Clock()
    TestLoop.run = clock.around('test.py', TestLoop.run, first_of_test)
    pseudo_labels._label = clock.around(
        'generate_pseudo_label.py', pseudo_labels._label, first_of_labelling
    )
    config = str(out / 'recipe.py')
    data = ['--data-root', str(folder / 'data'), *options]
    result = ['--work-dir', str(out / 'work'), '--out', str(out / 'score.json')]
    test.main([config, str(folder / 'adapted.pth'), *result, *data])
    torch.backends.cudnn.benchmark = False  # the test's; the other script begins without
    where = ['--config', config, '--checkpoint', str(folder / 'source.pth')]
    generate_pseudo_label.main([*where, '--pseudo_label_dir', str(out / 'labels'), *data])
    return clock.found


def run_parts(folder: Path, options: list[str], out: Path, rounds: int, frames: int) -> dict:
    """Time each part alone.

    The networks see so many frames at a time; the seconds are those of a frame.
    """
    from measuring import (
        copy_bytes_per_second,
        operations,
        operations_per_second,
        seconds_on_cpu,
        waited,
    )
    from mmengine.dataset import pseudo_collate
    from mmengine.device import get_device
    from mmseg.registry import DATASETS

    from mmseg_uvpt.engine.config.resolve import read
    from mmseg_uvpt.engine.inference.logits_to_labels import resized_label
    from mmseg_uvpt.engine.inference.loop import predict
    from mmseg_uvpt.engine.inference.model import accelerated_model
    from mmseg_uvpt.evaluation.iou import confusion_matrix
    from mmseg_uvpt.files import write_png

    cfg = read(out / 'recipe.py')
    cfg.test_dataloader.dataset.data_root = str(folder / 'data/cityscapes')
    flags = {f'uvpt.{option.removeprefix("--")}': True for option in options if option in FLAGS}
    cfg.merge_from_dict(flags | {'uvpt.compile_limit': None})
    device = get_device()
    torch._dynamo.reset()  # of what the passes compiled
    networks, arithmetic = {}, {}
    for kind in ('source', 'adapted'):
        path = str(folder / f'{kind}.pth')
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        names = (path, dataset.metainfo['classes'], 'test_dataloader')
        model = accelerated_model(cfg, *names)
        batch = pseudo_collate([dataset[0]])
        images = model.data_preprocessor(batch, False)['inputs'].repeat(frames, 1, 1, 1)

        def network(model=model, images=images, in_test=kind == 'adapted') -> None:
            torch.backends.cudnn.benchmark = in_test
            with torch.inference_mode():
                for some in images.split(1) if device == 'cpu' else [images]:
                    model(some, mode='tensor')

        networks[f'{kind} network'] = waited(network, device)
        uncompiled = copy.deepcopy(cfg)
        uncompiled.merge_from_dict({'uvpt.compile': False})
        counted = partial(network, accelerated_model(uncompiled, *names))
        arithmetic[f'{kind} network'] = operations(counted) / frames
    found = {name: s / frames for name, s in seconds_on_cpu(networks, rounds).items()}
    (result,) = predict(model, [batch])
    truth, label = result.sample.gt_sem_seg.data[0], result.label.cpu().numpy()
    logits, size = result.logits[None], tuple(result.label.shape)

    def labelled() -> torch.Tensor:
        return resized_label(logits, size, model.align_corners)

    found |= seconds_on_cpu(
        {
            'read, decode, resize': lambda: dataset[0],
            'resize and argmax': waited(labelled, device),
            'confusion matrix': lambda: confusion_matrix(result.label, truth, 19),
            'label and confidence as seen': waited(result.as_seen, device),
            'encode and write': lambda: write_png(folder / 'label.png', label),
        },
        3 * rounds,
    )
    pixels, seen = HEIGHT * WIDTH, logits[0, 0].numel()
    moved = {  # least bytes read and written
        'resize and argmax': 4 * logits.numel() + pixels,
        'confusion matrix': 2 * pixels,
        'label and confidence as seen': 4 * logits.numel() + 5 * seen,
    }
    bandwidth = copy_bytes_per_second(device)
    speed = operations_per_second(device, torch.bfloat16 if '--amp' in options else torch.float32)
    floors = {name: number / bandwidth for name, number in moved.items()}
    floors |= {name: number / speed for name, number in arithmetic.items()}
    return {name: {'seconds': s, 'floor': floors.get(name)} for name, s in found.items()}


def child(task: dict) -> None:
    """Do one task in this process; write what it found."""
    torch.set_num_threads(task['threads'])
    folder, out = Path(task['folder']), Path(task['out'])
    options, frames = task['options'], 1
    passes = run_passes(folder, options, out)
    if '--batch-size' in options:
        frames = int(options[options.index('--batch-size') + 1])
    parts = run_parts(folder, options, out, task['rounds'], frames)
    (out / 'found.json').write_text(json.dumps({'passes': passes, 'parts': parts}))


def differing_pixels(a: Path, b: Path) -> int:
    """Count the pixels in which the pseudo labels of two folders differ."""
    files = sorted(path.relative_to(a) for path in a.rglob('*.png'))
    pairs = ((cv2.imread(str(x / f), cv2.IMREAD_UNCHANGED) for x in (a, b)) for f in files)
    return sum(int((one != other).sum()) for one, other in pairs)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, list[dict]]:
    """Let the plain form and the others run in turns.

    Returns:
        dict: what each found in each round, with its folder as ``out``.
    """
    at_a_time = ['--batch-size', str(args.batch_size)] if args.batch_size else []
    runs = {'plain': PLAIN} | {name: [*FORMS[name], *at_a_time] for name in args.forms}
    found: dict[str, list[dict]] = {name: [] for name in runs}
    of_parts = 10 * args.rounds if torch.cuda.is_available() else args.rounds  # fast there
    environment = {**os.environ, 'OMP_NUM_THREADS': str(args.threads)}
    environment['PYTHONPATH'] = os.pathsep.join([str(REPOSITORY), os.environ.get('PYTHONPATH', '')])
    for number in range(args.rounds):
        for place, (name, options) in enumerate(runs.items()):
            out = folder / f'{number}_{place}'
            out.mkdir()
            make_recipe(out / 'recipe.py', args.model, args.workers)
            task = {
                'folder': str(folder),
                'out': str(out),
                'threads': args.threads,
                'rounds': of_parts,
                'options': options,
            }
            command = [sys.executable, __file__, '--task', json.dumps(task)]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            seen = json.loads((out / 'found.json').read_text())
            found[name].append({**seen, 'out': out})
    return found


def differences(found: dict[str, list[dict]], frames: int) -> dict[str, dict]:
    """Return in how many pixels the labels of each form differ from the plain ones, and scores."""
    made = {}
    plain = found['plain'][0]['out']
    scores = {
        name: json.loads((rounds[0]['out'] / 'score.json').read_text())['IoU']
        for name, rounds in found.items()
    }
    for name, (first, *_) in found.items():
        if name != 'plain':
            differ = differing_pixels(plain / 'labels', first['out'] / 'labels')
            made[name] = {
                'labels_that_differ': f'{differ} of {frames * HEIGHT * WIDTH} pixels',
                'scores_are_equal': scores[name] == scores['plain'],
                'iou_off_by': max(
                    abs((iou or 0.0) - (scores['plain'][of] or 0.0))
                    for of, iou in scores[name].items()
                ),
            }
    return made


def rows(found: dict[str, list[dict]], frames: int) -> list[dict]:
    """Return a row for each pass (seconds a frame) and each part, medians of the rounds."""

    def median(name: str, kind: str, what: str, key: str) -> float | None:
        values = [of_round[kind][what].get(key) for of_round in found[name]]
        return None if None in values else statistics.median(values)

    made = []
    for what in PASSES:
        for key, title, number in (
            ('seconds', 'a frame, clock', frames),
            ('processor_seconds', 'a frame, processors', frames),
            ('first_seconds', 'the frame before', 1),
        ):
            seconds = {name: median(name, 'passes', what, key) / number for name in found}
            made.append({'what': f'{what}, {title}', 'seconds': seconds})
    for what in found['plain'][0]['parts']:
        seconds = {name: median(name, 'parts', what, 'seconds') for name in found}
        floors = {name: median(name, 'parts', what, 'floor') for name in found if name != 'plain'}
        made.append({'what': what, 'seconds': seconds, 'floors': floors})
    return made


def table(made: list[dict]) -> str:
    """Return the rows as a Markdown table, in milliseconds."""
    from measuring import milliseconds

    forms = list(made[0]['seconds'])[1:]
    columns = ['ms (times as fast)', 'plain', *forms, *(f'floor, {name}' for name in forms)]
    lines = [f'| {" | ".join(columns)} |', '|---' * len(columns) + '|']
    for row in made:
        plain, *others = row['seconds'].values()
        cells = [row['what'], milliseconds(plain)]
        cells += [f'{milliseconds(s)} ({plain / s:.2f}x)' for s in others]
        floors = [row.get('floors', {}).get(name) for name in forms]
        cells += ['' if floor is None else milliseconds(floor) for floor in floors]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/inference.py --frames 4 --forms float32 bfloat16',
    )
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument('--frames', type=int, help='of each pass [64 on a GPU, 4 on a CPU]')
    parser.add_argument('--rounds', type=int, default=3, help='the median counts [%(default)s]')
    parser.add_argument('--threads', type=int, default=os.cpu_count(), help='[%(default)s]')
    parser.add_argument(
        '--workers', type=int, default=min(8, os.cpu_count()), help='that read [%(default)s]'
    )
    parser.add_argument(
        '--batch-size', type=int, help='as of both scripts, of the forms beside the plain one'
    )
    parser.add_argument(
        '--forms',
        nargs='+',
        choices=FORMS,
        help='what is timed beside the plain one [all on a GPU, float32 on a CPU]',
    )
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    parser.add_argument('--task', type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        child(args.task)
        return

    from measuring import made_how

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    args.frames = args.frames or (64 if device == 'cuda' else 4)
    args.forms = args.forms or (list(FORMS) if device == 'cuda' else ['float32'])
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_frames(folder / 'data/cityscapes', args.frames)
        make_checkpoints(folder, args.model)
        found = measure(args, folder)
        forms = differences(found, args.frames)
    how = made_how(device, {}) | {'threads': args.threads}
    how |= {'workers': args.workers, 'batch_size': args.batch_size, 'forms': forms}
    for key, value in how.items():
        print(f'{key}: {value}')
    made = rows(found, args.frames)
    print(f'\n{args.model}, {WIDTH} x {HEIGHT} frames seen at 1024 x 512\n\n{table(made)}')
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, 'rows': made})


if __name__ == '__main__':
    main()
