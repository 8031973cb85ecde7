"""Adapt a model to a folder of photographs, and say whether that helped."""

import argparse
import sys
from pathlib import Path

from mmseg_uvpt.adapting import BEST, PUBLISHED
from mmseg_uvpt.arguments import positive_int, positive_number, seed
from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python tools/adapt.py source.pth photographs --dry-run
  python tools/adapt.py source.pth photographs --labelled some-with-labels --hours 2

MODEL is a checkpoint (of this project, released, or of mmseg), a work folder, a folder of
transformers, or a shared model: a folder or a repository of the hub. Stopped at any moment, the
same command goes on. docs/your-data.md tells all of it."""


def parse_arguments() -> argparse.Namespace:
    parser = options.make_parser(
        'Adapt a model to photographs without labels. Everything that a recipe needs is derived '
        'from both, shown in a table with the time, memory and disk that it will take, and can be '
        'overridden. What is left is one folder: model.safetensors with its card, predictions/, '
        'report.html and a record; and one sentence that says whether the adapted model or the '
        'source model is to be used.',
        EXAMPLE,
    )
    parser.add_argument('model', metavar='MODEL', help='what to adapt')
    parser.add_argument('photographs', metavar='PHOTOS', help='folder, searched for photographs')
    parser.add_argument(
        '--labelled',
        metavar='DIR',
        help='a few photographs with label maps, for scoring alone, never for training',
    )
    parser.add_argument(
        '--out', metavar='DIR', help="to write to (default: work_dirs/adapt_<PHOTOS' name>)"
    )
    parser.add_argument(
        '--hours', type=positive_number, metavar='H', help='fewer iterations if it takes longer'
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='show the table, and leave nothing behind'
    )
    parser.add_argument('--config', metavar='FILE.py', help='of a checkpoint that holds none')
    parser.add_argument('--seed', type=seed, default=0, metavar='N', help='default: 0')
    plan = parser.add_argument_group('what the table shows, if it is to be otherwise')
    plan.add_argument(
        '--method', choices=[BEST, PUBLISHED], default=BEST, help='default: best; or as published'
    )
    for name, what in (
        ('--size', 'within which the network sees a photograph'),
        ('--crop', 'of what is trained on'),
    ):
        plan.add_argument(name, nargs=2, type=positive_int, metavar=('W', 'H'), help=what)
    for name, what in (
        ('--iterations', 'of the training'),
        ('--batch-size', 'crops an iteration'),
        ('--interval', 'iterations between two candidates'),
        ('--correction-interval', 'iterations between two label corrections (uni-uvpt)'),
        ('--queue', 'images that a label correction looks at (uni-uvpt)'),
        ('--workers', 'processes that read photographs'),
    ):
        plan.add_argument(name, type=positive_int, metavar='N', help=what)
    plan.add_argument('--lr', type=positive_number, metavar='X', help='learning rate')
    plan.add_argument('--precision', choices=['float32', 'bfloat16'])
    args = parser.parse_args()
    if args.method == BEST and (args.queue or args.correction_interval):
        parser.error(f'--queue and --correction-interval belong to --method {PUBLISHED}')
    return args


def main() -> int:
    """Adapt, and print the verdict."""
    args = parse_arguments()
    if not args.out:
        args.out = str(Path('work_dirs') / f'adapt_{Path(args.photographs).resolve().name}')

    from mmseg_uvpt.adapting.command_stages import StageFailed
    from mmseg_uvpt.adapting.steps import adapt  # after --help: takes seconds
    from mmseg_uvpt.errors import STOPPED, STOPPING
    from mmseg_uvpt.processes import handling, interrupt

    again = 'stopped; the same command goes on from here'
    try:
        with handling(STOPPING, interrupt):  # temporary folders are removed
            verdict = adapt(args, typed_command('tools/adapt.py', sys.argv[1:]))
    except StageFailed as error:
        if error.status != STOPPED:
            raise
        print(again, file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print(again, file=sys.stderr)
        return 130
    if verdict:
        print(f'\n{verdict.sentence}\n{args.out} holds the model, its predictions and report.html')
    return 0
