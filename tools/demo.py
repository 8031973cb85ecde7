"""The whole method on rendered data, from nothing to a result: `make demo`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.demo import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
