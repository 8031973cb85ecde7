"""Adapt at test time: predict each image of a stream, then train on it, once through all."""

from collections.abc import Sequence

from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.errors import readable
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python tools/adapt_stream.py configs/demo/tent_swin-nano.py --source-checkpoint SOURCE.pth \\
      --domains data/night data/fog --reset --work-dir work_dirs/stream"""


@readable
def main(argv: Sequence[str]) -> None:
    """Adapt, and report the score of the predictions."""
    parser = options.make_parser(
        'Predict each test image, then train on it with the method of the config, one whole image '
        'at a time and once through all in the order of their names. The scores, a domain each, '
        'are those of the predictions made on the way; they are logged and written to stream.json '
        'in the work folder, beside the last checkpoint. Any method that needs no pseudo labels '
        'will do; AdaBN gets momentum 0.1 where the config names none. The learning rate is '
        'constant. A domain without labels is adapted to and not scored.',
        EXAMPLE,
    )
    parser.add_argument('config', help='of an adaptation, e.g. configs/demo/tent_swin-nano.py')
    parser.add_argument('--source-checkpoint', required=True, metavar='FILE', help='source model')
    parser.add_argument(
        '--domains',
        nargs='+',
        default=[],
        metavar='ROOT',
        help='in the order of the stream: folders of a data set, or data roots that hold one under '
        "the name that the config gives it (the config's)",
    )
    parser.add_argument(
        '--reset', action='store_true', help='begin at the source model in each domain'
    )
    options.add_config_options(parser)
    options.add_runner_options(parser)
    options.add_plain_option(parser)
    args = parser.parse_args(argv)

    from mmseg_uvpt.engine.config.required import require_file
    from mmseg_uvpt.engine.config.resolve import resolve_run
    from mmseg_uvpt.engine.config.stream import make_stream
    from mmseg_uvpt.engine.training.run import train

    cfg = resolve_run(args)
    require_file(args.source_checkpoint, 'source checkpoint', 'make it with pretrain.py')
    cfg.model.source_checkpoint = args.source_checkpoint
    make_stream(cfg, args.domains, args.reset)
    command = typed_command('tools/adapt_stream.py', argv)
    train(cfg, command, validate=False)
