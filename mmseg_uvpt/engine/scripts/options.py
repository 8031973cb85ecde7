"""Command line options that the scripts share. Only argparse is imported: ``--help`` is instant."""

import argparse

from mmseg_uvpt.arguments import ScriptParser, key_and_value, positive_int, seed
from mmseg_uvpt.engine.scripts.published import NOTE
from mmseg_uvpt.errors import STOPPED

DATA_ROOT = (
    'folder of all data sets; or that of Cityscapes itself (it holds leftImg8bit and no '
    'cityscapes), beside which the others lie'
)
STATUSES = f"""\
exit statuses:
  0   the training is finished
  1   something is to be mended first; the last line says what
  {STOPPED}  stopped by SIGTERM or SIGUSR1, after an iteration with a checkpoint or before the first
      one: call it again with --resume

{NOTE}"""


def make_parser(description: str, example: str, more: str = '') -> argparse.ArgumentParser:
    """Return a parser whose help ends with ``example``, a command to copy, and ``more``."""
    return ScriptParser(
        description=description,
        epilog=f'example:\n{example}' + (f'\n\n{more}' if more else ''),
    )


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that change the config."""
    parser.add_argument('--data-root', metavar='DIR', help=f"{DATA_ROOT} (the config's: data)")
    parser.add_argument(
        '--cfg-options',
        action='extend',
        nargs='+',
        type=key_and_value,
        default=[],
        metavar='KEY=VALUE',
        help='override entries of the config, e.g. train_cfg.max_iters=10',
    )


def add_runner_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the scripts that have a work folder."""
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help="default: work_dirs/<config name>; the folder of a run's own config.py",
    )
    parser.add_argument('--seed', type=seed, metavar='N', help="random seed (the config's: 0)")
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        help='what started this process, where several work together (default: pytorch under '
        'torchrun, else none)',
    )
    # torch.distributed.launch passes it; torchrun sets the environment variable instead
    parser.add_argument(
        '--local_rank', '--local-rank', dest='local_rank', type=int, help=argparse.SUPPRESS
    )


def add_plain_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that leaves everything away that makes a model faster."""
    parser.add_argument(
        '--plain',
        action='store_true',
        help='run the model as models/ says, without any acceleration: slower, same numbers',
    )


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the two scripts that train."""
    parser.add_argument(
        '--resume',
        action='store_true',
        help='continue from the last checkpoint of the work folder; begin if it has none yet',
    )
    parser.add_argument(
        '--resume-anyway',
        action='store_true',
        help='likewise, though config, seed, processes or data set differ: says what does',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision, mostly in bfloat16')
    add_plain_option(parser)
    parser.add_argument(
        '--no-validate',
        action='store_true',
        help='train without evaluations, for a target that has no labels to score with',
    )


def add_inference_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the two scripts that only predict."""
    parser.add_argument('--batch-size', type=positive_int, metavar='N', help='images at a time')
    add_network_options(parser)


def add_network_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all that only predicts, which say how the network computes."""
    add_plain_option(parser)
    parser.add_argument('--amp', action='store_true', help='mixed precision, mostly in bfloat16')
    parser.add_argument(
        '--compile',
        action='store_true',
        help='run the network as one graph: on a GPU a CUDA graph, recorded in seconds; elsewhere '
        'by torch.compile, for at most two minutes (uvpt.compile_limit=SECONDS)',
    )
