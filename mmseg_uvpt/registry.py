"""This project's own scope of mmengine's registries, for names that mmseg's inferencer looks for.

``dict(type='LoadImageFromFile', _scope_='mmseg_uvpt')`` is `LoadImageChecked`: under that name
`mmseg.apis.MMSegInferencer` finds and replaces it. Everything else is in mmseg's own registries.
"""

from mmengine.registry import Registry
from mmseg.registry import TRANSFORMS as MMSEG_TRANSFORMS

TRANSFORMS = Registry('transform', scope='mmseg_uvpt', parent=MMSEG_TRANSFORMS)
