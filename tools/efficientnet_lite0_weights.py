"""Write the ImageNet weights of EfficientNet-Lite0 as a file of timm's names."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.efficientnet_lite0_weights import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
