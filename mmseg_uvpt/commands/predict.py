"""Predict photographs and videos: classes in colours over each image, and as a PNG of ids."""

import argparse
from collections.abc import Sequence

from mmseg_uvpt.arguments import from_0_to_1
from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.errors import readable
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python tools/predict.py configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py \\
      work_dirs/sss_swin-b_gta5-to-cityscapes/iter_80000.pth holiday.jpg photographs --out seen"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = options.make_parser(
        'Write <name>.png, the classes in the colours of the data set over the image, and '
        '<name>_classes.png, their ids, for each image, and <name>.mp4, the colours over each '
        'frame, for each video; predictions.json says how they were made. No labels are needed. '
        'The model may be a source model or an adapted one.',
        EXAMPLE,
    )
    parser.add_argument('config', help='of the model')
    parser.add_argument('checkpoint', help='released file, or one of a work folder')
    parser.add_argument(
        'images',
        nargs='+',
        help='image files, folders that are searched for images, video files, and cameras: an '
        'address such as rtsp://..., or a number; Ctrl-C ends and keeps the recording of a camera',
    )
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to write to')
    parser.add_argument(
        '--list',
        metavar='FILE',
        help='predict only those images of one folder that it names, one a line, relative to the '
        'folder',
    )
    parser.add_argument(
        '--opacity',
        type=from_0_to_1,
        default=0.5,
        metavar='0..1',
        help='of the colours [%(default)s]',
    )
    parser.add_argument(
        '--full-size',
        action='store_true',
        help='have the network see images at their own size, in tiles where the memory asks for '
        "it, instead of resized as in training (the config's Resize): finer borders, and larger "
        'things than it knows',
    )
    parser.add_argument(
        '--abstain',
        type=from_0_to_1,
        metavar='0..1',
        help='leave pixels without a class where the model is less sure: 255 in '
        '<name>_classes.png, no colour over the image; predictions.json says how many are left',
    )
    options.add_inference_options(parser)
    options.add_config_options(parser)
    return parser.parse_args(argv)


@readable
def main(argv: Sequence[str]) -> None:
    """Predict the images."""
    args = parse_arguments(argv)

    from mmseg_uvpt.engine.config.resolve import resolve
    from mmseg_uvpt.engine.inference.images import predict_images

    command = typed_command('tools/predict.py', argv)
    cfg = resolve(args)
    images, frames, kept = predict_images(
        *(cfg, args.checkpoint, args.images, args.out, command, args.opacity),
        *(args.batch_size or 1, args.full_size, args.list, args.abstain),
    )
    if images:
        print(f'{args.out}: predicted {images}, each as <name>.png and <name>_classes.png')
    if frames:
        print(f'{args.out}: predicted {frames} frames, each video as <name>.mp4')
    if kept is not None:
        print(f'{kept:.1%} of the pixels have a confidence of {args.abstain} or more and a class')
