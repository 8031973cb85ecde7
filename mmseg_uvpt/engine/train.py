"""``train.py``: adapt a source model to the target with prompts and its own pseudo labels."""

import shlex
import sys
from collections.abc import Sequence

from mmseg_uvpt.engine import cli, published
from mmseg_uvpt.errors import UserError

EXAMPLE = """\
  python train.py configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py \\
      --source-checkpoint model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the script.

    Args:
        argv: arguments; those of the process by default.

    Raises:
        UserError: see `training.train`; or the source checkpoint or the pseudo labels are missing.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    published.refuse(argv, 'train.py')
    parser = cli.make_parser(
        'Adapt a source model to unlabelled target images; evaluate it on the target.',
        EXAMPLE,
        cli.STATUSES,
    )
    parser.add_argument('config', help='e.g. configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py')
    parser.add_argument(
        '--source-checkpoint', metavar='FILE', help="source model (the config's: a released one)"
    )
    parser.add_argument(
        '--pseudo-label-dir',
        '--pseudo_label_dir',
        metavar='DIR',
        help='what generate_pseudo_label.py wrote',
    )
    parser.add_argument(
        '--low-memory',
        action='store_true',
        help='compute parts twice instead of keeping them: same numbers, less memory, more time',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile each view to one graph, which takes minutes and is for long trainings',
    )
    cli.add_config_options(parser)
    cli.add_runner_options(parser)
    cli.add_training_options(parser)
    args = parser.parse_args(argv)

    from mmseg_uvpt.engine.configuration import (
        label_corrections,
        require_file,
        require_folder,
        resolve_run,
        share_pseudo_labels,
    )

    cfg = resolve_run(args)
    hooks = label_corrections(cfg)
    if not hooks or 'source_checkpoint' not in cfg.model:
        raise UserError(
            f'{args.config} is no adaptation: it needs model.source_checkpoint and a '
            'LabelCorrectionHook, as configs/uni_uvpt/*.py have them. A source model is trained '
            'with pretrain.py'
        )
    if args.low_memory:
        cfg.model.low_memory = True
    if args.compile:
        cfg.compile = True
    if args.source_checkpoint:
        cfg.model.source_checkpoint = args.source_checkpoint
    if not cfg.model.source_checkpoint:
        raise UserError('no source checkpoint given; name it with --source-checkpoint FILE')
    require_file(
        cfg.model.source_checkpoint,
        'source checkpoint',
        'get it (model/README.md) or make it with pretrain.py, and name it with '
        '--source-checkpoint FILE',
    )
    for hook in hooks:
        if args.pseudo_label_dir:
            hook['pseudo_label_dir'] = args.pseudo_label_dir
        require_folder(
            hook['pseudo_label_dir'],
            'pseudo-label folder',
            f'make it with: python generate_pseudo_label.py --config {args.config} --checkpoint '
            f'{cfg.model.source_checkpoint} --pseudo_label_dir {hook["pseudo_label_dir"]}',
        )
    share_pseudo_labels(cfg)
    from mmseg_uvpt.engine.training import train  # seconds, which a wrong argument does not cost

    command = f'python train.py {shlex.join(argv)}'
    train(cfg, command, args.resume, args.amp, args.resume_anyway, not args.no_validate)
