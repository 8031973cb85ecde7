"""Paint abstract style images, for pretraining with augmentations that take some."""

from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, positive_int, seed


def main() -> None:
    parser = ScriptParser(
        description='Paint abstract images of 512 x 512. They stand in for paintings where none '
        'may be downloaded: the demo takes them. Images that are there are left alone.',
        epilog='example: python tools/make_style_images.py data/style --count 32',
    )
    parser.add_argument('folder', type=Path, help='where they go')
    parser.add_argument('--count', type=positive_int, default=16, metavar='N', help='default: 16')
    parser.add_argument('--seed', type=seed, default=0, help='default: 0')
    args = parser.parse_args()

    from mmseg_uvpt.minicity.paintings import paint_all

    paint_all(args.folder, args.count, args.seed)
    print(f'{args.folder}: {args.count} style images')
