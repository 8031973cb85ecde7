"""Render MiniCity: a small world in two looks, in the raw formats of the real data sets."""

import argparse
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, positive_int, seed
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.processes import share_of_processors

EXAMPLE = """\
quick start:
  python tools/make_demo_data.py
  python tools/convert_datasets/gta.py data/minicity/gta --nproc 2
  python tools/convert_datasets/synthia.py data/minicity/synthia --nproc 2
  python tools/convert_datasets/cityscapes.py data/minicity/cityscapes --nproc 2

example:
  python tools/make_demo_data.py data/city7 --train-frames 100 --val-frames 20 --seed 7
  python tools/make_demo_data.py data/night --look night  # a target that is harder
  python tools/make_demo_data.py --preview sheet.png      # only a contact sheet, in seconds"""


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description='Render MiniCity, street scenes of 512 x 256 with exact labels: in a game-like '
        'look as GTA and as SYNTHIA, in a photographic look as Cityscapes. Frames that are there '
        'are left alone, so a broken run is taken up again.',
        epilog=EXAMPLE,
    )
    parser.add_argument(
        'root', nargs='?', default='data/minicity', help='data root (default: data/minicity)'
    )
    parser.add_argument(
        '--train-frames',
        type=positive_int,
        default=300,
        metavar='N',
        help='frames of gta, of synthia and of cityscapes/train each (default: 300)',
    )
    parser.add_argument(
        '--val-frames',
        type=positive_int,
        default=50,
        metavar='N',
        help='of cityscapes/val (default: 50)',
    )
    parser.add_argument('--seed', type=seed, default=0, help='of the city (default: 0)')
    parser.add_argument(
        '--look',
        choices=('cityscapes', 'fog', 'night'),
        default='cityscapes',
        help='of cityscapes, the target: photographs by day, in dense fog, or at night with the '
        'light of lamps, windows and cars (default: %(default)s)',
    )
    parser.add_argument(
        '--nproc',
        type=positive_int,
        default=share_of_processors(),
        metavar='N',
        help='processes (default: all)',
    )
    parser.add_argument(
        '--force', action='store_true', help='replace the city, or the sheet, that is there'
    )
    parser.add_argument(
        '--preview', metavar='FILE', help='write a contact sheet (PNG) instead of a data root'
    )
    return parser.parse_args()


def main() -> None:
    """Render what the arguments ask for."""
    args = parse_arguments()
    from mmseg_uvpt.minicity.looks import TARGETS

    target = TARGETS[args.look]
    if args.preview:
        from mmseg_uvpt.files import refuse_to_replace, write_png
        from mmseg_uvpt.minicity.contact_sheet import contact_sheet

        if Path(args.preview).suffix.lower() != '.png':
            raise UserError(f'--preview {args.preview}: the sheet is a PNG, name it *.png')
        refuse_to_replace(Path(args.preview), [], args.force)
        write_png(args.preview, contact_sheet(args.seed, target=target))
        print(f'{args.preview}: the same streets in three looks, with labels')
        return

    from mmseg_uvpt.minicity.production import produce

    frames = args.train_frames, args.val_frames
    written, kept = produce(Path(args.root), *frames, args.seed, args.nproc, args.force, target)
    print(f'{args.root}: {written} frames rendered, {kept} were there; seed {args.seed}')
