"""Source-free domain adaptive semantic segmentation with visual prompts.

Importing this package is cheap on purpose: ``import mmseg_uvpt.register`` is what loads mmseg
and puts the project's models, data sets, hooks and metrics into its registries. It is enough for
torchvision, and so for mmseg, to be importable beside a CPU build of torch, and for what mmcv and
mmseg warn of without need to stay unsaid.
"""

import warnings

from mmseg_uvpt.torchvision_schema import declare_before_use

__version__ = '0.1.0'

declare_before_use()

# mmcv without compiled operators is what this project asks for; deformable attention is its own
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
warnings.filterwarnings('ignore', message='`torch.jit.*is deprecated', category=DeprecationWarning)
# the published recipes average the loss over all pixels, ignored ones included, as is the default
warnings.filterwarnings('ignore', message='Default ``avg_non_ignore`` is False')
