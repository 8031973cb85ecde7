"""Time the passes of test.py and generate_pseudo_label.py, and the parts that they consist of.

The plain path is the package at another revision (by default the last one before these passes were
made faster), which is checked out beside this one. Both run the scripts' own functions, in turns,
in processes of their own, on the same frames and the same random weights; the median counts. A
pass is what happens between the first frame and the last: reading, network, labels, counting or
writing, but not the start of the script. The parts are timed alone, one frame each.

The floor of the network is its arithmetic at the speed of a large product of matrices in float32,
of the other parts the bytes that they must read and write at the speed of a large copy, both
measured in the same run; reading and writing PNGs has none. On machines that do other things
meanwhile, look at the seconds of processors rather than at those of the clock.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]
PLAIN = 'c8fa998'
HEIGHT, WIDTH = 1024, 2048
PASSES = ('test.py', 'generate_pseudo_label.py')


def make_frames(root: Path, count: int) -> None:
    """Write frames like photographs, as far as a PNG's decoder can tell (about 2 MB each)."""
    random = np.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 255, (16, 32, 3)).astype(np.uint8)
        smooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noise = random.normal(0, 1.2, smooth.shape)
        image = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        label = random.integers(0, 19, (16, 32)).astype(np.uint8)
        label = cv2.resize(label, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        name = f'street/street_{i:06d}_000019'
        for split in ('train', 'val'):
            _write(root / f'leftImg8bit/{split}/{name}_leftImg8bit.png', image)
            _write(root / f'gtFine/{split}/{name}_gtFine_labelTrainIds.png', label)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), pixels)


def make_recipe(path: Path, package: Path, model: str) -> None:
    """Write the config of an adaptation, on the configs of a revision."""
    bases = [f'models/{model}_uni-uvpt.py', 'datasets/cityscapes_adaptation.py']
    bases += ['schedules/adapt_80k.py']
    paths = [str(package / 'configs/_base_' / base) for base in bases]
    correction = "dict(label_correction=dict(pseudo_label_dir='data/labels'))"
    path.write_text(f'_base_ = {paths}\ndefault_hooks = {correction}\n')


def make_checkpoints(folder: Path, model: str) -> None:
    """Write random weights: adapted, and its source."""
    from whole_model import make_model

    built = make_model(model)
    torch.nn.init.normal_(built.decode_head.conv_seg.weight)  # else one class would win everywhere
    adapted = built.state_dict()
    torch.save({'state_dict': adapted}, folder / 'adapted.pth')
    staged = {
        name.replace('backbone.staged.', 'backbone.'): tensor
        for name, tensor in adapted.items()
        if name.startswith(('backbone.staged.', 'decode_head.'))
    }
    torch.save({'state_dict': staged}, folder / 'source.pth')


class Clock:
    """Measures a call: seconds of the clock, and of this process's and its children's processors.

    Those of children count when they have ended.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    def around(self, name: str, function: Callable) -> Callable:
        """Return ``function``, which then notes under ``name`` what a call took."""

        def timed(*args, **kwargs):
            clock, processors = time.perf_counter(), _processor_seconds()
            result = function(*args, **kwargs)
            self.found[name] = {
                'seconds': time.perf_counter() - clock,
                'processor_seconds': _processor_seconds() - processors,
            }
            return result

        return timed


def _processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run_passes(folder: Path, options: list[str], out: Path) -> dict:
    """Run both scripts in this process, on the package that it imports."""
    from mmengine.runner import TestLoop

    from mmseg_uvpt.engine import labelling, pseudo_label, test

    clock = Clock()
    TestLoop.run = clock.around('test.py', TestLoop.run)
    labelling._label = clock.around('generate_pseudo_label.py', labelling._label)
    config = str(out / 'recipe.py')
    data = ['--data-root', str(folder / 'data'), *options]
    result = ['--work-dir', str(out / 'work'), '--out', str(out / 'score.json')]
    test.main([config, str(folder / 'adapted.pth'), *result, *data])
    where = ['--config', config, '--checkpoint', str(folder / 'source.pth')]
    pseudo_label.main([*where, '--pseudo_label_dir', str(out / 'labels'), *data])
    return clock.found


def run_parts(folder: Path, options: list[str], out: Path, rounds: int) -> dict:
    """Time each part alone, with functions that both revisions have."""
    from measuring import copy_bytes_per_second, operations, seconds_on_cpu
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import DATASETS

    from mmseg_uvpt.engine import labelling
    from mmseg_uvpt.evaluation.iou import confusion_matrix
    from mmseg_uvpt.files import write_png

    init_default_scope('mmseg')
    cfg = Config.fromfile(out / 'recipe.py')
    cfg.test_dataloader.dataset.data_root = str(folder / 'data/cityscapes')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    amp = torch.autocast('cpu', torch.bfloat16, enabled='--amp' in options)
    networks, arithmetic = {}, {}
    with torch.inference_mode():
        frame = dataset[0]
        for kind in ('source', 'adapted'):
            model = labelling.source_model(cfg, str(folder / f'{kind}.pth'))
            if '--compile' in options:
                from mmseg_uvpt.engine.compilation import compile_network

                compile_network(model)
            batch = model.data_preprocessor(
                {'inputs': [frame['inputs']], 'data_samples': [frame['data_samples']]}, False
            )
            samples, metas = batch['data_samples'], [batch['data_samples'][0].metainfo]

            def network(model=model, inputs=batch['inputs'], metas=metas) -> torch.Tensor:
                with amp:
                    return model.encode_decode(inputs, metas)

            networks[f'{kind} network'] = network
            arithmetic[f'{kind} network'] = operations(network)
        logits = network()
        prediction = model.postprocess_result(logits, samples)[0].pred_sem_seg.data[0].clone()
        truth = samples[0].gt_sem_seg.data[0]
        found = seconds_on_cpu(networks, rounds)
        # what is left of the function without its network
        model.whole_inference = lambda *_: logits
        inputs = [frame['inputs']]
        found |= seconds_on_cpu(
            {
                'read, decode, resize': lambda: dataset[0],
                'resize and argmax, test.py': lambda: model.postprocess_result(logits, samples),
                'confusion matrix': lambda: confusion_matrix(prediction, truth, 19),
                'label and confidence, generate_pseudo_label.py': lambda: labelling.predict(
                    model, inputs, samples
                ),
                'encode and write': lambda: write_png(
                    folder / 'label.png', prediction.to(torch.uint8).numpy()
                ),
            },
            3 * rounds,
        )
    pixels, seen = HEIGHT * WIDTH, logits[0, 0].numel()
    moved = {  # least bytes read and written
        'resize and argmax, test.py': 4 * logits.numel() + pixels,
        'confusion matrix': 2 * pixels,
        'label and confidence, generate_pseudo_label.py': 4 * logits.numel() + 5 * seen,
    }
    bandwidth = copy_bytes_per_second()
    matrices = torch.randn(2, 2048, 2048)
    product = seconds_on_cpu({'product': lambda: matrices[0] @ matrices[1]}, 5)['product']
    floors = {name: number / bandwidth for name, number in moved.items()}
    floors |= {name: n / (2 * 2048**3) * product for name, n in arithmetic.items()}
    return {name: {'seconds': s, 'floor': floors.get(name)} for name, s in found.items()}


def child(task: dict) -> None:
    """Do one task in a process that has the package of one revision; write what it found."""
    torch.set_num_threads(task['threads'])
    folder, out = Path(task['folder']), Path(task['out'])
    passes = run_passes(folder, task['options'], out)
    parts = run_parts(folder, task['options'], out, task['rounds'])
    (out / 'found.json').write_text(json.dumps({'passes': passes, 'parts': parts}))


def differing_pixels(a: Path, b: Path) -> int:
    """Count the pixels in which the pseudo labels of two folders differ."""
    files = sorted(path.relative_to(a) for path in a.rglob('*.png'))
    pairs = ((cv2.imread(str(x / f), cv2.IMREAD_UNCHANGED) for x in (a, b)) for f in files)
    return sum(int((one != other).sum()) for one, other in pairs)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, list[dict]]:
    """Let both revisions run in turns; return what each found in each round."""
    plain = folder / 'plain'
    worktree = ['git', '-C', str(REPOSITORY), 'worktree']
    subprocess.run([*worktree, 'add', '--quiet', '--detach', str(plain), args.plain], check=True)
    found: dict[str, list[dict]] = {'plain': [], 'fast': []}
    options = ['--amp'] * args.amp + ['--compile'] * args.compile
    try:
        for number in range(args.rounds):
            for name, package in (('plain', plain), ('fast', REPOSITORY)):
                out = folder / f'{name}{number}'
                out.mkdir()
                make_recipe(out / 'recipe.py', package, args.model)
                task = {
                    'folder': str(folder),
                    'out': str(out),
                    'threads': args.threads,
                    'rounds': args.rounds,
                    'options': options if name == 'fast' else [],
                }
                environment = {**os.environ, 'PYTHONPATH': str(package)}
                environment['OMP_NUM_THREADS'] = str(args.threads)
                command = [sys.executable, __file__, '--task', json.dumps(task)]
                subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
                found[name].append(json.loads((out / 'found.json').read_text()))
    finally:
        subprocess.run([*worktree, 'remove', '--force', str(plain)], check=True)
    return found


def rows(found: dict[str, list[dict]], frames: int) -> list[dict]:
    """Return a row for each pass (seconds a frame) and each part, medians of the rounds."""

    def median(name: str, kind: str, what: str, key: str) -> float | None:
        values = [of_round[kind][what].get(key) for of_round in found[name]]
        return None if None in values else statistics.median(values)

    made = []
    for what in PASSES:
        for key, title in (('seconds', 'clock'), ('processor_seconds', 'processors')):
            plain, fast = (median(name, 'passes', what, key) / frames for name in found)
            made.append({'what': f'{what}, a frame, {title}', 'plain_s': plain, 'fast_s': fast})
    for what in found['fast'][0]['parts']:
        plain, fast = (median(name, 'parts', what, 'seconds') for name in found)
        floor = median('fast', 'parts', what, 'floor')
        made.append({'what': what, 'plain_s': plain, 'fast_s': fast, 'floor_s': floor})
    return made


def table(made: list[dict]) -> str:
    """Return the rows as a Markdown table, in milliseconds."""
    lines = ['| ms | plain | fast | times as fast | floor |', '|---|---|---|---|---|']
    for row in made:
        plain, fast, floor = row['plain_s'], row['fast_s'], row.get('floor_s')
        last = f'{1e3 * floor:.4g}' if floor else ''
        cells = f'{1e3 * plain:.4g} | {1e3 * fast:.4g} | {plain / fast:.2f}'
        lines.append(f'| {row["what"]} | {cells} | {last} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/inference.py --frames 4 --json inference.json',
    )
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument('--frames', type=int, default=4, help='of each pass [%(default)s]')
    parser.add_argument('--rounds', type=int, default=3, help='the median counts [%(default)s]')
    parser.add_argument('--threads', type=int, default=os.cpu_count(), help='[%(default)s]')
    parser.add_argument('--plain', default=PLAIN, metavar='REVISION', help='[%(default)s]')
    parser.add_argument('--amp', action='store_true', help='the fast path with --amp')
    parser.add_argument('--compile', action='store_true', help='the fast path with --compile')
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    parser.add_argument('--task', type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        child(args.task)
        return

    from measuring import made_how

    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_frames(folder / 'data/cityscapes', args.frames)
        make_checkpoints(folder, args.model)
        found = measure(args, folder)
        differ = differing_pixels(folder / 'plain0/labels', folder / 'fast0/labels')
        scores = [json.loads((folder / f'{name}0/score.json').read_text()) for name in found]
    how = made_how('cpu', {}) | {
        'plain': args.plain,
        'labels_that_differ': f'{differ} of {args.frames * HEIGHT * WIDTH} pixels',
        'scores_are_equal': scores[0]['IoU'] == scores[1]['IoU'],
    }
    for key, value in how.items():
        print(f'{key}: {value}')
    made = rows(found, args.frames)
    print(f'\n{args.model}, {WIDTH} x {HEIGHT} frames seen at 1024 x 512\n\n{table(made)}')
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, 'rows': made})


if __name__ == '__main__':
    main()
