"""Convert the labels of SYNTHIA to train ids, and count the pixels of each class."""

from mmseg_uvpt.datasets.conversion.command_line import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(lambda: main('synthia', __doc__))
