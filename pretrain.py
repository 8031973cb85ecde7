"""Train a source model: ``python pretrain.py <config>``."""

from mmseg_uvpt.engine.scripts.pretrain import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
