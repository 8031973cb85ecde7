"""Convert the labels of Cityscapes (labelIds, else polygons) to train ids, and count them."""

from mmseg_uvpt.datasets.conversion.command_line import main
from mmseg_uvpt.errors import run_cli

if __name__ == '__main__':
    run_cli(lambda: main('cityscapes', __doc__))
