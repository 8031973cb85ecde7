"""Where version 0.1 had the reading of images, which users' own transforms call."""

from mmseg_uvpt.datasets.files.image_files import read_image

__all__ = ['read_image']
