"""Make smaller files of a checkpoint, and put an adapted model together again."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.export_checkpoint import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
