"""``train.py``: adapt a source model to the target with prompts and its own pseudo labels."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.engine.scripts import options, published
from mmseg_uvpt.errors import UserError, readable
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python train.py configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py \\
      --source-checkpoint model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth"""


@readable
def main(argv: Sequence[str]) -> None:
    """Run the script.

    Args:
        argv: arguments; those of the process by default (`errors.readable`).

    Raises:
        UserError: see `training.train`; or the source checkpoint or the pseudo labels are missing.
    """
    args = _parse(argv)

    from mmseg_uvpt.engine.config.resolve import resolve_run
    from mmseg_uvpt.engine.config.training_labels import (
        check_labels_of_method,
        label_corrections,
        pseudo_label_dir,
        set_pseudo_label_dir,
        share_pseudo_labels,
    )

    cfg = resolve_run(args)
    stated = _name_source(cfg, args)
    check_labels_of_method(cfg)
    if args.pseudo_label_dir:
        set_pseudo_label_dir(cfg, args.pseudo_label_dir)
    for hook in label_corrections(cfg):
        if args.foreign_labels:
            hook['foreign_labels'] = True
    if folder := pseudo_label_dir(cfg):
        _require_labels(cfg, folder, args, stated)
    share_pseudo_labels(cfg)
    # seconds, which a wrong argument does not cost
    from mmseg_uvpt.engine.training.run import train
    from mmseg_uvpt.report.after_run import report_after

    command = typed_command('train.py', argv)
    train(cfg, command, args.resume, args.resume_anyway, not args.no_validate)
    report_after(cfg)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    published.refuse(argv, 'train.py')
    parser = options.make_parser(
        'Adapt a source model to unlabelled target images; evaluate it on the target.',
        EXAMPLE,
        options.STATUSES,
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
        '--foreign-labels',
        action='store_true',
        help='train on pseudo labels that another model made, or nobody knows which',
    )
    parser.add_argument(
        '--low-memory',
        action='store_true',
        help='compute parts twice instead of keeping them: same numbers, less memory, more time',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help='compile each view to one graph, for long trainings: on a GPU it takes minutes, a CPU '
        'goes on without after two (uvpt.compile_limit=SECONDS)',
    )
    options.add_config_options(parser)
    options.add_runner_options(parser)
    options.add_training_options(parser)
    return parser.parse_args(argv)


def _name_source(cfg, args: argparse.Namespace) -> str | None:
    """Name the source model's checkpoint in a config, make sure that it is there.

    Returns:
        str | None: what the config stated.
    """
    from mmseg_uvpt.engine.config.required import require_file

    stated = cfg.get('model', {}).get('source_checkpoint')
    if 'source_checkpoint' not in cfg.get('model', {}) or 'train_dataloader' not in cfg:
        raise UserError(
            f'{args.config} is no adaptation: it needs model.source_checkpoint, as '
            'configs/uni_uvpt/*.py have it. A source model is trained with pretrain.py'
        )
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
    return stated


def _require_labels(cfg, folder: str, args: argparse.Namespace, stated: str | None) -> None:
    """Raise a `UserError` unless pseudo labels are there, and are those of the source model.

    A run that is resumed has them in its bank, and they were looked at when it began.
    """
    from mmseg_uvpt.engine.config.classes import meta_of
    from mmseg_uvpt.engine.config.required import require_data, require_folder
    from mmseg_uvpt.engine.config.training_labels import label_corrections
    from mmseg_uvpt.engine.inference.label_record import folder_of, require_labels_of
    from mmseg_uvpt.engine.work_folder.claim import CONFIG

    checkpoint = cfg.model.source_checkpoint
    foreign = [hook.get('foreign_labels', False) for hook in label_corrections(cfg)]
    options = [*(['--data-root', args.data_root] if args.data_root else [])]
    options += ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    command = ['python', 'generate_pseudo_label.py', '--config', args.config]
    command += ['--checkpoint', checkpoint, *options, '--pseudo_label_dir']

    def make(folder: str) -> str:
        return shlex.join([*command, str(folder)])

    own, use = folder, ''
    if not Path(folder).is_dir() and not args.pseudo_label_dir and checkpoint != stated:
        own = folder_of(Path(folder), checkpoint)  # the folder is that of another model
        use = f' and train with --pseudo-label-dir {own}'
    require_folder(folder, 'pseudo-label folder', f'make it with: {make(own)}{use}')
    begun = (Path(cfg.work_dir) / CONFIG).is_file()
    if not (begun and (args.resume or args.resume_anyway)):
        require_data(cfg, 'train_dataloader')
        classes = meta_of(cfg.train_dataloader.dataset)['classes']
        require_labels_of(folder, checkpoint, classes, args.foreign_labels or any(foreign), make)
