"""Export a model as one file that needs nothing of this project: torch.export's .pt2, or ONNX."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.arguments import positive_int
from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.errors import readable

EXAMPLE = """\
  python tools/export_model.py configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py \\
      work_dirs/sss_swin-b_gta5-to-cityscapes/iter_80000.pth --out model.onnx
  python tools/export_model.py configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py \\
      work_dirs/sss_swin-b_gta5-to-cityscapes/iter_80000.pth --out int8.onnx --int8"""


def parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = options.make_parser(
        'Write a source model or an adapted one as a file that runs without this project: images '
        'in, uint8 (B, 3, H, W) in RGB, logits out, float32 (B, classes, H, W); normalisation is '
        'inside, and the file says what else it needs. It is compared with the model itself at '
        'several sizes before it is written. ONNX needs: python -m pip install '
        "'mmseg-uvpt[export]'.",
        EXAMPLE,
    )
    parser.add_argument('config', help='of the model')
    parser.add_argument('checkpoint', help='released file, or one of a work folder')
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FILE', help='to write, .pt2 or .onnx'
    )
    parser.add_argument('--force', action='store_true', help='replace FILE if it exists')
    parser.add_argument(
        '--fixed-size',
        nargs=2,
        type=positive_int,
        metavar=('HEIGHT', 'WIDTH'),
        help='take images of this size only; without it any, which not every backbone can',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='quantise the ONNX file; ranges are those of images of target_train_dataloader',
    )
    options.add_config_options(parser)
    return parser.parse_args(argv)


@readable
def main(argv: Sequence[str]) -> None:
    """Export the model, and say what was written and how close it is."""
    args = parse_arguments(argv)

    from mmseg_uvpt.engine.config.resolve import resolve
    from mmseg_uvpt.engine.inference.exported import export

    for line in export(
        resolve(args), args.checkpoint, args.out, args.fixed_size, args.int8, args.force
    ):
        print(line, flush=True)
