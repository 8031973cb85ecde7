"""Write a page on one run or several: verdict, scores, curves, frames, config, hardware."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.report import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
