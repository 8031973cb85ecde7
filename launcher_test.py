"""Score each model of the benchmark: see ``--help``."""

from mmseg_uvpt.errors import run_cli
from mmseg_uvpt.subcommands import SUBCOMMANDS

if __name__ == '__main__':
    run_cli(SUBCOMMANDS['launch test'].run)
