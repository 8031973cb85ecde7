"""Paint abstract style images, for pretraining with augmentations that take some."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.make_style_images import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
