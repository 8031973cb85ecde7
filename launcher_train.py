"""Adapt each source model of the benchmark: see ``--help``."""

from mmseg_uvpt.errors import run_cli
from mmseg_uvpt.sweep.cli import main

if __name__ == '__main__':
    run_cli(lambda: main('train', 'Adapt source models to the target.'))
