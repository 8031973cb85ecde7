"""Render MiniCity: a small world in two looks, in the raw formats of the real data sets."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.make_demo_data import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
