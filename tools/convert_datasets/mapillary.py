"""Convert the labels of Mapillary Vistas (v1.2) to train ids, and count them."""

from mmseg_uvpt.errors import run_cli
from mmseg_uvpt.subcommands import SUBCOMMANDS

if __name__ == '__main__':
    run_cli(SUBCOMMANDS['convert mapillary'].run)
