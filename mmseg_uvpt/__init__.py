"""Source-free domain adaptive semantic segmentation with visual prompts.

Importing this package is cheap on purpose: ``import mmseg_uvpt.register`` is what loads mmseg
and puts the project's models, data sets, hooks and metrics into its registries.
"""

__version__ = '0.1.0'
