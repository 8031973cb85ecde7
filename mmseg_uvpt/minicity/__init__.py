"""MiniCity: a procedural street with exact labels, in a rendered and a photographic look.

>>> from mmseg_uvpt.minicity import CITYSCAPES, render
>>> image, label_ids, polygons = render(seed=0, index=7, look=CITYSCAPES)
"""

from mmseg_uvpt.minicity.looks import CITYSCAPES, GTA, SYNTHIA, Look
from mmseg_uvpt.minicity.renderer import render

__all__ = ['CITYSCAPES', 'GTA', 'SYNTHIA', 'Look', 'render']
