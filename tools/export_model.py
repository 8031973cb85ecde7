"""Export a model as one file that needs nothing of this project: torch.export's .pt2, or ONNX."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.export_model import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
