"""Adapt a source model to the target: ``python train.py <config>``."""

from mmseg_uvpt.engine.scripts.train import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
