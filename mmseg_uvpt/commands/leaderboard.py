"""Compare methods, tuners and ablations on MiniCity: run what is missing, make the table."""

import argparse
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, positive_int, seed
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.leaderboard.plan import BACKBONES, SEEDS, planned_runs
from mmseg_uvpt.shipped import CHECKOUT, INSTALLED
from mmseg_uvpt.tables import add_target, check_target, deliver

RECORDS = (Path() if INSTALLED else CHECKOUT) / 'docs/results/minicity'
EXAMPLE = """\
example:
  python tools/leaderboard.py run --hours 8
  python tools/leaderboard.py run --hours 0                  # only say which one is next
  python tools/leaderboard.py run --hours 8 --rows best adabn --seeds 0 1 2 3 4
  python tools/leaderboard.py table --page docs/results.md
  python tools/leaderboard.py table --format latex --out leaderboard.tex"""


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog=EXAMPLE,
    )
    commands = parser.add_subparsers(dest='command', required=True)
    run = commands.add_parser(
        'run',
        help='make the runs of which there is no record, one at a time',
        description='Make the runs of which there is no record, one at a time: methods, then what '
        'is tuned, then ablations. What was interrupted goes on. A run that fails is passed over.',
    )
    run.add_argument(
        '--hours', type=float, default=1.0, help='after which no run is begun (default: 1)'
    )
    run.add_argument('--seeds', type=seed, nargs='+', default=SEEDS, help='default: 0 1 2')
    run.add_argument('--backbones', nargs='+', default=BACKBONES, choices=BACKBONES)
    run.add_argument(
        '--rows', nargs='+', metavar='ROW', help='only these, such as best or uni-uvpt_Head'
    )
    run.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/leaderboard'),
        metavar='DIR',
        help='of data, models and logs (default: work_dirs/leaderboard)',
    )
    quick = run.add_argument_group(
        'for a quick look; records then go below the work folder, since they mean nothing'
    )
    quick.add_argument('--train-frames', type=positive_int, metavar='N', help='default: 240')
    quick.add_argument('--val-frames', type=positive_int, metavar='N', help='default: 60')
    quick.add_argument('--iterations', type=positive_int, metavar='N', help='of each training')
    table = commands.add_parser('table', help='make the table of all records')
    table.add_argument('--format', choices=['markdown', 'csv', 'latex'], default='markdown')
    add_target(table)
    for command in (run, table):
        command.add_argument(
            '--records', type=Path, metavar='DIR', help='default: docs/results/minicity'
        )
    return parser.parse_args()


def main() -> int:
    """Run or make the table; return 1 if a run failed."""
    args = parse_arguments()
    quick = {
        name: value
        for name in ('train_frames', 'val_frames', 'iterations')
        if (value := getattr(args, name, None))
    }
    looked_at = '-'.join(f'{name}={value}' for name, value in quick.items())
    records = args.records or (args.work_dir / 'records' / looked_at if quick else RECORDS)
    if args.command == 'table':
        _make_table(args, records)
        return 0

    planned = planned_runs(args.seeds, args.backbones, **quick)
    if args.rows:
        rows = list(dict.fromkeys(run.row for run in planned))
        if unknown := [name for name in args.rows if name not in rows]:
            raise UserError(f'--rows {" ".join(unknown)}: there are {", ".join(rows)}')
        planned = [run for run in planned if run.row in args.rows]

    from mmseg_uvpt.leaderboard.missing_runs import (
        compute_alike,
        make_missing_runs,
    )  # takes seconds

    compute_alike()
    return int(make_missing_runs(planned, args.work_dir.resolve(), records, args.hours) > 0)


def _make_table(args: argparse.Namespace, records: Path) -> None:
    check_target(args)

    from mmseg_uvpt.leaderboard import leaderboard_formats
    from mmseg_uvpt.leaderboard.leaderboard_rows import read_rows

    text = getattr(leaderboard_formats, f'to_{args.format}')(read_rows(records))
    begins = (b'| backbone | method', b'backbone,method,', leaderboard_formats.LATEX.encode())
    deliver(text, args.page, args.out, begins, 'tools/leaderboard.py')
