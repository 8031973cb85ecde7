"""``test.py``: score a checkpoint on the target's validation split, or write a submission."""

import argparse
import os
from collections.abc import Sequence

from mmseg_uvpt.engine.scripts import options, published
from mmseg_uvpt.errors import UserError, readable
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python test.py configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py \\
      model/Uni-UVPT_models/SSS_Swin-B_GTAV_Cityscapes_Uni-UVPT_LP_56.2.pth --eval mIoU"""


@readable
def main(argv: Sequence[str]) -> None:
    """Run the script.

    Args:
        argv: arguments; those of the process by default (`errors.readable`).

    Raises:
        UserError: see `scoring.score` and `scoring.format_only`.
    """
    published.refuse(argv, 'test.py')
    args = _parser().parse_args(argv)
    unused = [name for name in ('out', 'show_dir', 'compare', 'calibration') if getattr(args, name)]
    if args.format_only is not None and unused:
        named = ', '.join(f'--{name.replace("_", "-")}' for name in unused)
        raise UserError(f'--format-only writes predictions and scores nothing: leave out {named}')

    from mmseg_uvpt.engine.config.resolve import resolve_run

    cfg = resolve_run(args)
    if args.batch_size:
        cfg.merge_from_dict({'test_dataloader.batch_size': args.batch_size})
    # takes seconds, which a wrong argument does not cost
    from mmseg_uvpt.engine.inference.scoring import format_only, score
    from mmseg_uvpt.report.after_run import report_after

    if args.format_only is not None:
        folder = args.format_only or os.path.join(cfg.work_dir, 'submission')
        command = typed_command('test.py', argv)
        format_only(cfg, args.checkpoint, command, folder, aug_test=args.aug_test)
        return
    score(
        cfg,
        args.checkpoint,
        typed_command('test.py', argv),
        out=args.out,
        show_dir=args.show_dir,
        aug_test=args.aug_test,
        source=args.compare,
        calibration=args.calibration,
    )
    report_after(cfg)


def _parser() -> argparse.ArgumentParser:
    parser = options.make_parser(
        'Report the mean IoU over 19, 16 and 13 classes and the IoU of each class, as a table and '
        'as JSON.',
        EXAMPLE,
        published.NOTE,
    )
    parser.add_argument('config', help='e.g. configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py')
    parser.add_argument('checkpoint', help='released file, or one of a work folder')
    parser.add_argument(
        '--eval', nargs='+', choices=['mIoU'], default=['mIoU'], help='what to report: mIoU'
    )
    parser.add_argument(
        '--out',
        metavar='FILE.json',
        help='where the result goes (default: test_<folder>_<checkpoint>.json in the work folder)',
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='write the predictions there as coloured PNG files'
    )
    parser.add_argument(
        '--format-only',
        nargs='?',
        const='',
        metavar='DIR',
        help='score nothing, and write the predictions as the servers of Cityscapes and ACDC ask '
        'for them, of a split without labels too (default: submission in the work folder)',
    )
    parser.add_argument(
        '--aug-test',
        action='store_true',
        help='average over six sizes, 0.5 to 1.75 times that of a test, each also flipped',
    )
    parser.add_argument(
        '--compare',
        metavar='SOURCE.pth',
        help='score this source model of an adapted checkpoint as well, on the same images, and '
        'say whether the adapted one is better: ten labelled images are enough to ask',
    )
    parser.add_argument(
        '--calibration',
        action='store_true',
        help='say whether confidences can be believed, too: expected calibration error, accuracy '
        'of the pixels of at least some confidence, and the temperature that mends it; with '
        '--compare of both models',
    )
    options.add_inference_options(parser)
    options.add_config_options(parser)
    options.add_runner_options(parser)
    return parser
