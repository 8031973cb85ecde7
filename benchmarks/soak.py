"""A long adaptation on MiniCity with a tiny model, watched from outside.

Renders a small city, pretrains for a few iterations, labels, then adapts with evaluations,
checkpoints, two loader workers and a busy label correction. Memory, open files and the time of an
iteration must not grow: the last quarter of the run is compared with the second. Ends with status 1
if something grew.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mmseg_uvpt.files import write_json

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPE = 'sss_swin-b_gta5'
# processors' time, since the clock's says more about what else runs on the machine
TIME = 'ms of processors an iteration'
ALLOWED = {
    'memory of the training, MB': 1.05,
    'memory of its workers, MB': 1.05,
    'open files': 1.0,
    TIME: 1.25,
}
EVERY = 2  # seconds between two looks


def main() -> int:
    """Run the soak; print and write the figures of each quarter."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/soak.py --iterations 3000 --json work_dirs/soak.json',
    )
    parser.add_argument('--iterations', type=int, default=3000)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/soak'))
    parser.add_argument('--json', type=Path, help='write the figures there')
    args = parser.parse_args()
    root = args.work_dir.absolute()
    data, source, labels = root / 'data', root / 'source', root / 'labels'
    if not (labels / 'pseudo_labels.json').is_file():
        prepare(data, source, labels)
    run = root / f'run_{time.strftime("%Y%m%d_%H%M%S")}'
    quarter = args.iterations // 4
    process = subprocess.Popen(
        [
            *(sys.executable, 'train.py', f'configs/rehearsal/uni_uvpt/{RECIPE}-to-cityscapes.py'),
            *('--source-checkpoint', source / 'iter_20.pth', '--pseudo-label-dir', labels),
            *('--data-root', data, '--work-dir', run, '--cfg-options'),
            *(f'train_cfg.max_iters={args.iterations}', f'train_cfg.val_interval={quarter // 4}'),
            *('train_dataloader.num_workers=2', 'train_dataloader.persistent_workers=True'),
            *(
                f'default_hooks.checkpoint.interval={quarter // 4}',
                'default_hooks.logger.interval=10',
            ),
            *('default_hooks.label_correction.slope=0.0',),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    seen = list(watch(process, run))
    if process.returncode:
        return process.returncode
    return report(quarters(seen, args.iterations), args)


def prepare(data: Path, source: Path, labels: Path) -> None:
    """Make a city, a source model and its pseudo labels."""
    config = f'configs/rehearsal/pretrain/{RECIPE}.py'
    for command in (
        ['tools/make_demo_data.py', data, '--train-frames', '24', '--val-frames', '4'],
        *([f'tools/convert_datasets/{name}.py', data / name] for name in ('gta', 'cityscapes')),
        ['pretrain.py', config, '--data-root', data, '--work-dir', source],
        [
            *('generate_pseudo_label.py', '--config', config, '--data-root', data),
            *('--checkpoint', source / 'iter_20.pth', '--pseudo_label_dir', labels),
        ],
    ):
        subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True)


def watch(process: subprocess.Popen, run: Path) -> Iterator[dict]:
    """Yield what a process and its children take, every few seconds until it ends."""
    while process.poll() is None:
        try:
            own = Path(f'/proc/{process.pid}')
            children = (own / f'task/{process.pid}/children').read_text().split()
            yield {
                'iteration': _iteration(run),
                'seconds': _processors(own),
                'memory of the training, MB': _resident(own),
                'memory of its workers, MB': sum(_resident(Path('/proc') / c) for c in children),
                'open files': len(os.listdir(own / 'fd')),
            }
        except (OSError, ValueError):  # one has just ended; a line is half written
            pass
        time.sleep(EVERY)


def _resident(process: Path) -> float:
    """Return the memory of a process that is no page of a file, in MB."""
    fields = (process / 'statm').read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf('SC_PAGESIZE') / 1e6


def _processors(process: Path) -> float:
    """Return the processors' time that a process has had, in seconds."""
    fields = (process / 'stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def _iteration(run: Path) -> int:
    """Return the last iteration in the log."""
    lines = [line for log in run.glob('*/vis_data/scalars.json') for line in log.open()]
    return max((json.loads(line)['step'] for line in lines if '"loss"' in line), default=0)


def quarters(seen: list[dict], iterations: int) -> list[dict]:
    """Return the figures of each quarter of the run: medians, and time by iterations."""
    result = []
    for k in range(4):
        steps = range(k * iterations // 4, (k + 1) * iterations // 4)
        part = [s for s in seen if s['iteration'] in steps and s['iteration']]
        figures = {
            name: statistics.median(s[name] for s in part) for name in ALLOWED if name != TIME
        }
        done = part[-1]['iteration'] - part[0]['iteration']
        figures[TIME] = 1000 * (part[-1]['seconds'] - part[0]['seconds']) / max(1, done)
        result.append(figures)
    return result


def report(found: list[dict], args: argparse.Namespace) -> int:
    """Print a table, write the JSON; return 1 if something grew by more than is allowed."""
    grown = []
    print(f'| {args.iterations} iterations | 1st quarter | 2nd | 3rd | 4th | 4th / 2nd |')
    print('|---' * 6 + '|')
    for name, allowed in ALLOWED.items():
        values = [figures[name] for figures in found]
        ratio = values[3] / values[1]
        print(f'| {name} |', ' | '.join(f'{v:.1f}' for v in values), f'| {ratio:.3f} |')
        if ratio > allowed:
            grown.append(name)
    if args.json:
        facts = {'iterations': args.iterations, 'quarters': found, 'grown': grown}
        write_json(args.json, facts)
    if grown:
        print(f'grew: {", ".join(grown)}')
    return bool(grown)


if __name__ == '__main__':
    sys.exit(main())
