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

REPOSITORY = Path(__file__).resolve().parents[1]
TUNED = {'prompts': 'prompts and head', 'head': 'head only', 'all': 'everything'}


def main() -> None:
    """Run the demos, then print a Markdown table of mIoU over 19 classes."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog='example: python benchmarks/demo_seeds.py --tune prompts'
    )
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--tune', choices=TUNED, nargs='+', default=list(TUNED))
    parser.add_argument('--backbone', choices=BACKBONES, nargs='+', default=['swin'])
    parser.add_argument('--source', choices=['sss', 'gta'], default='sss')
    parser.add_argument('--work-dir', default='work_dirs/demo')
    args = parser.parse_args()
    print('| |', ' | '.join(f'seed {seed}' for seed in args.seeds), '| mean | gain |')
    print('|---' * (len(args.seeds) + 3) + '|')
    for backbone in args.backbone:
        name = BACKBONES[backbone]
        for tune in args.tune:
            summaries = [_run(seed, tune, backbone, args) for seed in args.seeds]
            sources = [summary['source_miou'] for summary in summaries]
            if tune == args.tune[0]:
                print(_row(f'{name}: source only', sources, sources))
            adapted = [summary['adapted_miou'] for summary in summaries]
            print(_row(f'{name}: {TUNED[tune]} tuned', adapted, sources), flush=True)


def _run(seed: int, tune: str, backbone: str, args: argparse.Namespace) -> dict:
    options = ['--seed', str(seed), '--tune', tune, '--backbone', backbone]
    options += ['--source', args.source, '--work-dir', args.work_dir]
    demo = [sys.executable, 'tools/demo.py', *options]
    subprocess.run(demo, cwd=REPOSITORY, check=True, stdout=sys.stderr)
    kind = backbone if args.source == 'sss' else f'{backbone}-gta'
    folder = 'adapt' if tune == 'prompts' else f'adapt-{tune}'
    path = Path(args.work_dir) / f'{kind}-seed{seed}' / folder / 'summary.json'
    return json.loads((REPOSITORY / path).read_text())


def _row(name: str, scores: list[float], sources: list[float]) -> str:
    gains = [score - source for score, source in zip(scores, sources, strict=True)]
    cells = [*(f'{score:.1f}' for score in scores), f'{statistics.mean(scores):.1f}']
    gain = '' if scores is sources else f'{statistics.mean(gains):+.1f}'
    return f'| {name} | {" | ".join(cells)} | {gain} |'


if __name__ == '__main__':
    main()
