"""Make a source model of somebody else's: of mmseg, or a folder of transformers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmseg_uvpt.commands.import_source import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
