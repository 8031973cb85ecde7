"""Convert the labels of SYNTHIA to train ids, and count the pixels of each class."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mmseg_uvpt.errors import run_cli
from mmseg_uvpt.subcommands import SUBCOMMANDS

if __name__ == '__main__':
    run_cli(SUBCOMMANDS['convert synthia'].run)
