"""The demo over several seeds, backbones and ways of tuning: the README's table.

Runs `tools/demo.py` for each; what is done already is only read.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from mmseg_uvpt.demo.backbones import BACKBONES
from mmseg_uvpt.demo.settings import TUNERS, Settings

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the demos, then print a Markdown table of mIoU over 19 classes."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='example: python benchmarks/demo_seeds.py --tuner Prompts'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--tuner', choices=TUNERS, nargs='+', default=['Prompts', 'Head'])
    parser.add_argument('--backbone', choices=BACKBONES, nargs='+', default=['swin'])
    parser.add_argument('--source', choices=['sss', 'gta'], default='sss')
    parser.add_argument('--work-dir', default='work_dirs/demo')
    args = parser.parse_args()
    print('| |', ' | '.join(f'seed {seed}' for seed in args.seeds), '| mean | gain |')
    print('|---' * (len(args.seeds) + 3) + '|')
    for backbone in args.backbone:
        name = BACKBONES[backbone]
        for tuner in args.tuner:
            summaries = [_run(seed, tuner, backbone, args) for seed in args.seeds]
            sources = [summary['source_miou'] for summary in summaries]
            if tuner == args.tuner[0]:
                print(_row(f'{name}: source only', sources, sources))
            adapted = [summary['adapted_miou'] for summary in summaries]
            print(_row(f'{name}: {tuner}', adapted, sources), flush=True)


def _run(seed: int, tuner: str, backbone: str, args: argparse.Namespace) -> dict:
    options = ['--seed', str(seed), '--tuner', tuner, '--backbone', backbone]
    options += ['--source', args.source, '--work-dir', args.work_dir]
    demo = [sys.executable, 'tools/demo.py', *options]
    subprocess.run(demo, cwd=REPOSITORY, check=True, stdout=sys.stderr)
    settings = Settings(seed=seed, tuner=tuner, backbone=backbone, source=args.source)
    path = Path(args.work_dir) / settings.run_folder / settings.folder / 'summary.json'
    return json.loads((REPOSITORY / path).read_text())


def _row(name: str, scores: list[float], sources: list[float]) -> str:
    gains = [score - source for score, source in zip(scores, sources, strict=True)]
    cells = [*(f'{score:.1f}' for score in scores), f'{statistics.mean(scores):.1f}']
    gain = '' if scores is sources else f'{statistics.mean(gains):+.1f}'
    return f'| {name} | {" | ".join(cells)} | {gain} |'


if __name__ == '__main__':
    main()
