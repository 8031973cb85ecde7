"""Make the table of results: what was published, and what the launchers measured beside it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.benchmark_table import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
