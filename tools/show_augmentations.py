"""Draw an image under each augmentation of generalise-then-adapt pretraining, side by side."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.show_augmentations import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
