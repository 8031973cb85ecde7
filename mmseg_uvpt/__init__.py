"""Source-free domain adaptive semantic segmentation with visual prompts.

Importing this package is cheap on purpose: ``import mmseg_uvpt.register`` is what loads mmseg
and puts the project's models, data sets, hooks and metrics into its registries. It is enough for
torchvision, and so for mmseg, to be importable beside a CPU build of torch.
"""

from mmseg_uvpt.torchvision_schema import declare_before_use

__version__ = '0.1.0'

declare_before_use()
