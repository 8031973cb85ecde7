"""Importing this module puts everything of this project into mmseg's registries.

Configs name it in ``custom_imports``, so that any program that reads them can build the models.
"""

from mmseg_uvpt.torchvision_schema import declare_missing_operators

declare_missing_operators()

import mmseg.models  # noqa: E402, F401

from mmseg_uvpt.models.backbones import mit, swin, timm_pvt  # noqa: E402, F401
from mmseg_uvpt.models.decode_heads import daformer_head  # noqa: E402, F401
from mmseg_uvpt.models.prompts import prompted_backbone  # noqa: E402, F401
from mmseg_uvpt.models.segmentors import source, uni_uvpt  # noqa: E402, F401
