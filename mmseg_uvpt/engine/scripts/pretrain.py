"""``pretrain.py``: train a source model and score it on the target's validation split."""

from collections.abc import Sequence

from mmseg_uvpt.engine.scripts import options, published
from mmseg_uvpt.errors import UserError, readable
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = '  python pretrain.py configs/pretrain/sss_swin-b_gta5.py --data-root data'


@readable
def main(argv: Sequence[str]) -> None:
    """Run the script.

    Args:
        argv: arguments; those of the process by default (`errors.readable`).

    Raises:
        UserError: see `training.train`; or the config is that of an adaptation.
    """
    published.refuse(argv, 'pretrain.py')
    parser = options.make_parser(
        'Train a source model on labelled source images; evaluate it on the target.',
        EXAMPLE,
        options.STATUSES,
    )
    parser.add_argument('config', help='e.g. configs/pretrain/sss_swin-b_gta5.py')
    options.add_config_options(parser)
    options.add_runner_options(parser)
    options.add_training_options(parser)
    args = parser.parse_args(argv)

    from mmseg_uvpt.engine.config.normalisation import is_adaptation
    from mmseg_uvpt.engine.config.resolve import resolve_run
    from mmseg_uvpt.engine.config.training_labels import label_corrections

    cfg = resolve_run(args)
    if is_adaptation(cfg) or label_corrections(cfg):
        raise UserError(
            f'{args.config} is an adaptation, which starts from a source model: python train.py '
            f'{args.config}'
        )
    from mmseg_uvpt.augmentation import prerequisites

    prerequisites.check(cfg)

    # seconds, which a wrong argument does not cost
    from mmseg_uvpt.engine.training.run import train

    command = typed_command('pretrain.py', argv)
    train(cfg, command, args.resume, args.resume_anyway, not args.no_validate)
