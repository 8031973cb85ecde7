"""Time iterations of train.py as it is called, in several forms that take turns, and its memory.

The recipe is that of an adaptation to Cityscapes, on noise and random weights, with a crop of
``--side``. Each form is a process of its own; the rounds alternate between them, so that what else
the machine does falls on all. The median of the iterations behind the first ones counts, as the log
has them: data, forward, backward, optimiser and label correction. Memory is the largest resident
set of the process, and on a GPU what torch reports as the peak of its tensors.

``--against DIR`` adds the same training of another checkout of this project, say of version 0.1.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from measuring import made_how, write_target
from whole_model import make_model, source_tensors

REPOSITORY = Path(__file__).resolve().parents[1]
FORMS = {
    'plain': ['--plain'],
    'float32': [],
    'low memory': ['--low-memory'],
    'bfloat16': ['--amp'],
    'bfloat16, low memory': ['--amp', '--low-memory'],
    'bfloat16, compiled': ['--amp', '--compile'],
}
AGAINST = 'against'
FRAMES = 4


def write_recipe(path: Path, checkout: Path, args: argparse.Namespace, folder: Path) -> None:
    """Write the adaptation's recipe of a checkout, with a crop of a side and a log of each step."""
    from mmengine.config import Config

    base = checkout / 'configs/_base_'
    data = base / 'datasets/cityscapes_adaptation.py'
    pipeline = Config.fromfile(data, import_custom_modules=False).train_dataloader.dataset.pipeline
    for part in pipeline:
        if part.type == 'CropWithBox':
            part.crop_size = (args.side, args.side)
    bases = [base / f'models/{args.model}_uni-uvpt.py', data, base / 'schedules/adapt_80k.py']
    hooks = {
        'label_correction': {'pseudo_label_dir': str(folder / 'labels')},
        'logger': {'interval': 1},
        'checkpoint': {'interval': 1000, 'save_last': False, 'save_best': None},
    }
    path.write_text(
        f'_base_ = {[str(base) for base in bases]}\n'
        f'default_hooks = {hooks}\n'
        f"log_processor = {{'by_epoch': False, 'window_size': 1}}\n"
        f'train_dataloader = {{"dataset": {{"pipeline": {[dict(part) for part in pipeline]}, '
        f'"data_root": {str(folder / "cityscapes")!r}}}, "num_workers": 1}}\n'
        'optim_wrapper = {"optimizer": {"lr": 6e-6}}\n'
        f'model = {{"source_checkpoint": {str(folder / "source.pth")!r}}}\n'
    )


def run(checkout: Path, recipe: Path, flags: list[str], args: argparse.Namespace) -> dict:
    """Train; return the seconds of each iteration that counts, and the peak of memory in MiB."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, 'train.py', str(recipe), '--work-dir', work, '--no-validate']
        command += [*flags, '--cfg-options', f'train_cfg.max_iters={args.iterations}']
        if checkout == REPOSITORY:
            command.append('--foreign-labels')
        log = Path(work) / 'output'
        with open(log, 'w') as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f'{" ".join(command)} failed:\n{log.read_text()[-3000:]}')
        (scalars,) = Path(work).glob('*/vis_data/scalars.json')
        logged = [json.loads(line) for line in scalars.read_text().splitlines()]
    steps = [line for line in logged if 'time' in line and 'loss' in line][args.warm_up :]
    peak = max((line['memory'] for line in steps if 'memory' in line), default=None)
    return {
        'seconds': [line['time'] for line in steps],
        'resident': used.ru_maxrss // 1024,
        'on_gpu': peak,
    }


def table(found: dict[str, dict]) -> str:
    """Return the medians as Markdown; ratios are to the first form."""
    first = statistics.median(next(iter(found.values()))['seconds'])
    lines = [
        '| form | s an iteration | times as fast as the first | resident, MiB | on the GPU, MiB |',
        '|---|---|---|---|---|',
    ]
    for name, row in found.items():
        seconds = statistics.median(row['seconds'])
        gpu = row['on_gpu'] or '-'
        lines.append(
            f'| {name} | {seconds:.3f} | {first / seconds:.2f} | {row["resident"]} | {gpu} |'
        )
    return '\n'.join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition('\n')[0],
        epilog='example: python benchmarks/train_step.py --model mit-b5 --forms plain float32',
    )
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument('--side', type=int, default=256, help='of the crop, pixels')
    parser.add_argument('--iterations', type=int, default=8, help='of each process')
    parser.add_argument('--warm-up', type=int, default=2, help='of them, which do not count')
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--forms', nargs='+', choices=FORMS, default=['plain', 'float32'])
    parser.add_argument('--against', type=Path, help='another checkout, which comes first')
    parser.add_argument('--json', type=Path, help='also write the figures there')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_target(folder, FRAMES, (512, 1024))
        torch.save({'state_dict': source_tensors(make_model(args.model))}, folder / 'source.pth')
        runs = {form: (REPOSITORY, FORMS[form]) for form in args.forms}
        if args.against:
            runs = {AGAINST: (args.against.resolve(), [])} | runs
        found: dict[str, dict] = {}
        for checkout in {checkout for checkout, _ in runs.values()}:
            write_recipe(folder / f'recipe_{checkout.name}.py', checkout, args, folder)
        for _ in range(args.rounds):
            for form, (checkout, flags) in runs.items():
                recipe = folder / f'recipe_{checkout.name}.py'
                os.chdir(checkout)
                row = run(checkout, recipe, flags, args)
                kept = found.setdefault(form, {'seconds': [], 'resident': 0, 'on_gpu': None})
                kept['seconds'] += row['seconds']
                kept['resident'] = max(kept['resident'], row['resident'])
                kept['on_gpu'] = max(filter(None, (kept['on_gpu'], row['on_gpu'])), default=None)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    print(json.dumps(made_how(device, {})))
    print(table(found))
    if args.json:
        args.json.write_text(json.dumps(found))


if __name__ == '__main__':
    main()
