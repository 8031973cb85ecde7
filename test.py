"""Score a model: ``python test.py <config> <checkpoint> --eval mIoU``."""

from mmseg_uvpt.engine.scripts.test import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
