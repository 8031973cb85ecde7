"""Draw an image under each augmentation of generalise-then-adapt pretraining, side by side."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, seed
from mmseg_uvpt.engine.scripts.options import add_config_options
from mmseg_uvpt.errors import readable

EXAMPLE = """\
example:
  python tools/show_augmentations.py configs/pretrain/source-gta_swin-b_gta5.py \\
      data/gta/images/00001.png augmentations.png
  python tools/show_augmentations.py configs/demo/pretrain-gta_swin-nano.py IMAGE sheet.png \\
      --data-root work_dirs/demo/swin-gta-seed0/data"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = ScriptParser(
        description="Draw an image under each of a config's augmentations, to a PNG. What a config "
        'needs and does not find is said as in pretraining.',
        epilog=EXAMPLE,
    )
    parser.add_argument('config', help='of a pretraining with augmentations')
    parser.add_argument('image', type=Path, help='any image that OpenCV reads')
    parser.add_argument('out', type=Path, help='the PNG to write')
    parser.add_argument('--force', action='store_true', help='replace OUT if it exists')
    parser.add_argument('--seed', type=seed, default=0, help='default: 0')
    add_config_options(parser)
    return parser.parse_args(argv)


@readable
def main(argv: Sequence[str]) -> None:
    """Draw the sheet."""
    args = parse_arguments(argv)

    import mmseg_uvpt.register  # noqa: F401
    from mmseg_uvpt.augmentation.preview import draw
    from mmseg_uvpt.engine.config.resolve import resolve
    from mmseg_uvpt.files import refuse_to_replace

    refuse_to_replace(args.out, [args.image, args.config], args.force)
    draw(resolve(args), args.image, args.out, args.seed)
    print(f'{args.out}: {args.image} under each augmentation of {args.config}')
