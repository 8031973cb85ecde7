"""``generate_pseudo_label.py``: label the target train images with a source model."""

import argparse
from collections.abc import Sequence

from mmseg_uvpt.arguments import share
from mmseg_uvpt.engine.scripts import options, published
from mmseg_uvpt.errors import readable
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python generate_pseudo_label.py --config configs/pretrain/sss_swin-b_gta5.py \\
      --checkpoint model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth \\
      --pseudo_label_dir data/cityscapes/pretrain/SSS_Swin-B_GTAV_Cityscapes_50.5/train"""


@readable
def main(argv: Sequence[str]) -> None:
    """Run the script.

    Args:
        argv: arguments; those of the process by default (`errors.readable`).

    Raises:
        UserError: see `pseudo_labels.label_target`.
    """
    args = _parse(argv)

    from mmseg_uvpt.engine.config.resolve import resolve

    cfg = resolve(args)
    if args.batch_size:
        cfg.merge_from_dict({'target_train_dataloader.batch_size': args.batch_size})
    # takes seconds, which a wrong argument does not cost
    from mmseg_uvpt.engine.inference.pseudo_labels import label_target

    command = typed_command('generate_pseudo_label.py', argv)
    label_target(
        *(cfg, args.checkpoint, args.pseudo_label_dir, command, args.force),
        *(args.aug_test, args.threshold, args.class_quantile),
    )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    published.refuse(argv, 'generate_pseudo_label.py')
    parser = options.make_parser(
        'Write <city>/<frame>_gtFine_labelTrainIds.png for every target train image: the class '
        'that a source model finds most likely at each pixel. Frames that have a whole file are '
        'skipped, so that a run can be stopped and started again.',
        EXAMPLE,
        published.NOTE,
    )
    parser.add_argument('--config', required=True, help='of the pretraining or of the adaptation')
    parser.add_argument('--checkpoint', required=True, help='the source model, or an adapted one')
    parser.add_argument(
        '--pseudo_label_dir',
        '--pseudo-label-dir',
        required=True,
        metavar='DIR',
        help='folder to write to; train.py reads it',
    )
    parser.add_argument(
        '--force', action='store_true', help='make all anew, also those of another checkpoint'
    )
    parser.add_argument(
        '--aug-test',
        action='store_true',
        help="average over the sizes and flips of the config's tta_pipeline, as test.py does",
    )
    least = parser.add_mutually_exclusive_group()
    least.add_argument(
        '--threshold',
        type=share,
        metavar='T',
        help='leave pixels without a label (255) whose confidence is below T',
    )
    least.add_argument(
        '--class-quantile',
        type=share,
        metavar='Q',
        help='likewise below a threshold of each class, the Q quantile of its confidences in all '
        'images: the most confident 1 - Q of each class are left',
    )
    options.add_inference_options(parser)
    options.add_config_options(parser)
    return parser.parse_args(argv)
