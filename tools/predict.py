"""Predict photographs: classes in colours over each image, and as a PNG of ids."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.predict import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
