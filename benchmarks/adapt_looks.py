"""``uvpt adapt`` on MiniCity's looks: is the model that it leaves ever worse than its source?

Source models are those of the leaderboard, which its runs leave in the work folder. Each adaptation
is the command, as a user types it; the labels of other streets score it. Beside it stand new
statistics in the head's batch norms and no training, by ``train.py``. What was made is not made
again.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmseg_uvpt.demo.settings import STATISTICS, Settings
from mmseg_uvpt.engine.work_folder.claim import last_checkpoint
from mmseg_uvpt.files import read_object
from mmseg_uvpt.selection.conclusion import SELECTION

REPOSITORY = Path(__file__).resolve().parents[1]
BY_DAY = 'cityscapes'  # the look of the leaderboard's target
BACKBONES = ('efficientnet-lite0', 'swin')
COLUMNS = (
    *('look', 'backbone', 'seed', 'source', "head's statistics alone", 'after one iteration'),
    *('guard', 'chosen', 'last', 'best by the labels'),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/leaderboard'))
    parser.add_argument('--looks', nargs='+', default=[BY_DAY, 'night', 'fog'])
    parser.add_argument('--backbones', nargs='+', default=BACKBONES)
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    args = parser.parse_args()
    print(f'| {" | ".join(COLUMNS)} |\n{"|---" * len(COLUMNS)}|')
    for seed in args.seeds:
        for look in args.looks:
            for backbone in args.backbones:
                print(f'| {" | ".join(row(args.work_dir, look, backbone, seed))} |', flush=True)


def row(work_dir: Path, look: str, backbone: str, seed: int) -> Iterator[str]:
    """Adapt unless that is done; yield the cells of a row."""
    settings = Settings(seed, backbone, method=STATISTICS)
    model = work_dir / settings.run_folder
    data = model / 'data' if look == BY_DAY else rendered(work_dir, look, seed)
    out = work_dir / f'adapted-{look}' / model.name
    city = data / 'cityscapes'
    command(
        *('tools/adapt.py', model / 'pretrain', city / 'leftImg8bit/train', '--labelled', city),
        *('--out', out, '--seed', seed),
        log=out.with_suffix('.log'),
    )
    statistics = out.with_name(f'{out.name}-adabn')
    if not (statistics / SELECTION).is_file():
        command(
            *('train.py', settings.adaptation, '--work-dir', statistics),
            *('--source-checkpoint', last_checkpoint(model / 'pretrain'), '--data-root', data),
            *('--seed', seed),
            log=statistics.with_suffix('.log'),
        )
    of_statistics, of_adaptation = (
        read_object(folder / SELECTION, 'delete its folder')
        for folder in (statistics, out / 'adaptation')
    )
    scores = {each['iteration']: each['score'] for each in of_adaptation['candidates']}
    chosen, last = of_adaptation['selected'], max(scores)
    verdict = read_object(out / 'adapt.json', 'delete its folder')['verdict']
    low, high = verdict['interval']
    yield from (look, backbone, str(seed), f'{scores[0]:.1f}')
    yield f'{of_statistics["candidates"][-1]["score"]:.1f}'
    yield f'{scores[1]:.1f}'
    yield f'iteration {chosen}' if chosen else 'source'
    yield f'{verdict["candidate"]:.1f} ({verdict["difference"]:+.1f}, {low:+.1f} to {high:+.1f})'
    yield f'{scores[last]:.1f}'
    yield f'{max(scores.values()):.1f}'


def rendered(work_dir: Path, look: str, seed: int) -> Path:
    """Render a city's target in a look unless that is done; return its data root."""
    data = work_dir / f'{look}-seed{seed}'
    if not (data / 'cityscapes/sample_class_stats.json').is_file():
        log = data.with_suffix('.log')
        size = ('--train-frames', 240, '--val-frames', 60, '--seed', seed, '--look', look)
        command('tools/make_demo_data.py', data, *size, log=log)
        command('tools/convert_datasets/cityscapes.py', data / 'cityscapes', log=log)
    return data


def command(script: str, *arguments: object, log: Path) -> None:
    """Run a script; what it prints goes to a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words: Sequence[str] = [sys.executable, str(REPOSITORY / script), *map(str, arguments)]
    with log.open('ab') as file:
        subprocess.run(words, check=True, stdout=file, stderr=file)


if __name__ == '__main__':
    main()
