"""Label the target train images with a source model (see ``--help``)."""

from mmseg_uvpt.engine.scripts.generate_pseudo_label import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(main)
