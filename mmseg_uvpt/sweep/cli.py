"""What the four launchers do: arguments, job list, engine, exit status."""

import argparse
import functools
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, key_and_value, positive_int, seed, whole_number
from mmseg_uvpt.engine.scripts import published
from mmseg_uvpt.engine.scripts.options import DATA_ROOT
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.processes import interrupt
from mmseg_uvpt.shipped import find_configs, shipped
from mmseg_uvpt.subcommands import as_typed

_SHORTEST = 10  # minutes: Slurm warns a job two minutes before its limit, and a start takes one
# what the launchers set for each job
_SET = (
    *('--work-dir', '--data-root', '--seed', '--resume', '--resume-anyway', '--launcher', '--out'),
    *('--config', '--checkpoint', '--source-checkpoint', '--pseudo-label-dir'),
    '--pseudo_label_dir',
)
STATES = """\
model (a job's source model or adapted model; a column of --list):
  own             made in the work root; taken wherever its training is finished
  released        the file in model/, where that training was never begun
  missing input   the training was begun and is not finished, or neither of the two is there

states:
  missing input   something that the job needs is not there; the list says what makes it
  ready           can run; "to be resumed" if it was begun
  queued          waits in Slurm
  running         works, here, on another machine or under another launcher
  failed          ended without its result; the next call of the launcher goes on with it
  done            never run again, unless with --again

exit status: 0 if all jobs are done (or were listed), 1 if any is not, 130 after Ctrl-C
"""


def make_parser(stage: str, what: str) -> argparse.ArgumentParser:
    """Return the parser of a launcher.

    Args:
        stage: of its jobs.
        what: says what they do.
    """
    program = f'launcher_{stage}.py'
    parser = ScriptParser(
        prog=as_typed(program),
        usage='%(prog)s [options] [-- arguments of the script]',
        description=f'{what} A job a recipe of configs/; may be killed at any time and called '
        'again.',
        epilog=f'{STATES}\n{_examples(program)}',
    )
    add = parser.add_argument
    add('--list', action='store_true', help='print the jobs with their states, run none')
    add('--dry-run', action='store_true', help='print the commands of the jobs to run, run none')
    named = "jobs whose names contain this, e.g. 'swin*gta5*'"
    add('--only', nargs='+', default=[], metavar='GLOB', help=named)
    again = 'also run what is done; old results are kept in <folder>.<time>'
    add('--again', action='store_true', help=again)
    add('--seeds', nargs='+', type=seed, default=[0], metavar='N', help='a job each (default: 0)')
    if stage == 'test':
        source_only = 'score the source models instead of the adapted ones'
        add('--source-only', action='store_true', help=source_only)

    add = functools.partial(parser.add_argument_group('files').add_argument, metavar='DIR')
    configs = 'holds pretrain/ and uni_uvpt/, e.g. configs/ablations (default: configs)'
    add('--config-root', type=find_configs, default=shipped('configs'), help=configs)
    add('--data-root', '--data_url', help=f"{DATA_ROOT} (the configs': data)")
    work_root = Path('work_dirs/sweep')
    taken = f'takes seed<N>/<stage>/<job> (default: {work_root})'
    add('--work-root', '--train_url', type=Path, default=work_root, help=taken)

    add = parser.add_argument_group('where jobs run').add_argument
    add('--engine', choices=['local', 'slurm'], default='local', help='default: local')
    gpus = (
        'more than 1: through torchrun; 0: on processors (default: 1, locally where there is a GPU)'
    )
    add('--gpus-per-job', type=whole_number, default=1, metavar='N', help=gpus)
    shared = 'local: jobs that share a GPU or, where there is none, the processors (default: 1)'
    add('--jobs-per-gpu', type=positive_int, default=1, metavar='N', help=shared)
    add('--partition', help="slurm: default: the cluster's")
    limit = 'slurm: limit of a job, which is resubmitted when it is reached (default: 1440)'
    add('--time', type=positive_int, metavar='MINUTES', default=1440, help=limit)
    add('--array-limit', type=positive_int, metavar='N', help='slurm: jobs that run at once')
    pairs = {'nargs': '+', 'type': key_and_value, 'default': [], 'metavar': 'KEY=VALUE'}
    further = 'slurm: further options of sbatch, e.g. account=abc cpus-per-task=8'
    add('--sbatch', **pairs, help=further)
    return parser


def _examples(program: str) -> str:
    return f"""\
{published.NOTE}

examples:
  python {program} --list
  python {program} --only 'swin*gta5*' -- --cfg-options train_dataloader.num_workers=8
  python {program} --engine slurm --partition gpu --time 1440 --array-limit 4"""


def main(stage: str, what: str, argv: Sequence[str] | None = None) -> int:
    """Run a launcher.

    Args:
        stage: a key of `stages.STAGES`.
        what: its jobs do.
        argv: arguments; those of the process by default.

    Returns:
        int: exit status.

    Raises:
        UserError: there is no such job, or it cannot be run as asked.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    cut = argv.index('--') if '--' in argv else len(argv)
    published.refuse(argv[:cut], 'launcher')
    args = make_parser(stage, what).parse_args(argv[:cut])
    extra = argv[cut + 1 :]
    options = [word.split('=')[0] for word in extra if word.startswith('--') and len(word) > 2]
    # abbreviations count too
    taken = [word for word in options if any(name.startswith(word) for name in _SET)]
    if taken:
        raise UserError(
            f'{taken[0]} after -- is set by the launcher itself, for each job: see its '
            'own options, --help'
        )

    # half a second: after the arguments
    from mmseg_uvpt.engine.config.data_root import absolute
    from mmseg_uvpt.sweep.jobs import Settings, config_options
    from mmseg_uvpt.sweep.stages import STAGES, list_jobs

    published.refuse(extra, STAGES[stage].script)
    config_options(extra)

    settings = Settings(
        config_root=args.config_root,
        # absolute: jobs go on wherever the launcher is called from the next time
        work_root=args.work_root.resolve(),
        data_root=args.data_root and absolute(args.data_root),
        source_only='source_only' in args and args.source_only,
        gpus=args.gpus_per_job,
        extra=tuple(extra),
    )
    jobs = list_jobs(stage, settings, args.seeds, args.only)
    return _list(jobs) if args.list else _run(jobs, args)


def _list(jobs: list) -> int:
    from mmseg_uvpt.sweep.display import console, job_table
    from mmseg_uvpt.sweep.slurm import queue_of
    from mmseg_uvpt.sweep.status import status_of

    queue = queue_of(jobs, or_unknown=True)
    console().print(job_table({job: status_of(job, queue) for job in jobs}))
    return 0


def _run(jobs: list, args: argparse.Namespace) -> int:
    from mmseg_uvpt.sweep import slurm
    from mmseg_uvpt.sweep.display import Screen, console, job_table
    from mmseg_uvpt.sweep.local import LocalQueue, places, visible_gpus
    from mmseg_uvpt.sweep.status import State, status_of

    if args.dry_run:
        queue = slurm.queue_of(jobs, or_unknown=True)
        return _print_commands({job: status_of(job, queue) for job in jobs}, args.again)
    if args.engine == 'slurm' and args.time < _SHORTEST:
        raise UserError(f'--time {args.time}: give a job at least {_SHORTEST} minutes')
    again = frozenset(job for job in jobs if args.again and job.done())
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, interrupt)
    with Screen() as screen:
        if args.engine == 'slurm':
            statuses = slurm.run(jobs, slurm.Options.of(args), screen, again)
        else:
            free = places(visible_gpus(), args.gpus_per_job, args.jobs_per_gpu)
            statuses = LocalQueue(jobs, free, screen, slurm.queue_of(jobs), again).run()
    console().print(job_table(statuses))
    _report([job for job, status in statuses.items() if status.state is State.DONE])
    return 0 if all(status.state is State.DONE for status in statuses.values()) else 1


def _report(done: list) -> None:
    """Write a page on the finished jobs into the work root: those that train or score."""
    from mmseg_uvpt.engine.config.uvpt import uvpt_config
    from mmseg_uvpt.report.after_run import report_jobs
    from mmseg_uvpt.sweep.jobs import PSEUDO_LABEL

    shown = [job for job in done if job.stage != PSEUDO_LABEL and uvpt_config(job.cfg).report]
    if shown:
        page = shown[0].settings.work_root / f'report_{shown[0].stage}.html'
        report_jobs([job.folder for job in shown], page)


def _print_commands(statuses: dict, again: bool) -> int:
    from mmseg_uvpt.sweep.status import LACKING, State

    for job, status in statuses.items():
        try:
            command = shlex.join(job.command())
        except (UserError, *LACKING) as error:
            print(f'# {job.config}: {error}')
            continue
        note = '' if status.state is State.READY else f'  # {status.state.value}'
        skipped = status.state in (State.RUNNING, State.QUEUED) or (
            status.state is State.DONE and not again
        )
        print(f'{"# " if skipped else ""}{command}{note}')
    return 0
