"""Adapt a model to a folder of photographs, and say whether that helped."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.adapt import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
