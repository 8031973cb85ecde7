"""The two source data sets, with the classes of Cityscapes where a config names no others."""

from typing import ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_uvpt.datasets.checked_files import CheckedFiles
from mmseg_uvpt.datasets.label_encodings import CLASSES, PALETTE
from mmseg_uvpt.datasets.layouts import GTA, SYNTHIA, Layout
from mmseg_uvpt.datasets.named_classes import NamedClasses
from mmseg_uvpt.evaluation.class_subsets import NOT_IN_16


class _SourceDataset(NamedClasses, CheckedFiles, BaseSegDataset):
    """Images and converted labels of a `Layout`; the arguments are those of `BaseSegDataset`."""

    METAINFO: ClassVar[dict] = {'classes': CLASSES, 'palette': [list(colour) for colour in PALETTE]}

    def __init_subclass__(cls, layout: Layout | None = None) -> None:
        cls.layout = layout or cls.layout  # that of the class it is made of

    def __init__(self, data_root: str, **kwargs) -> None:
        layout = self.layout
        of_layout = {
            'data_prefix': {'img_path': layout.images, 'seg_map_path': layout.labels},
            'img_suffix': layout.image_suffix,
            'seg_map_suffix': layout.train_ids_suffix,
        }
        super().__init__(data_root=data_root, **(of_layout | kwargs))


@DATASETS.register_module()
class GTADataset(_SourceDataset, layout=GTA):
    """GTA: 24,966 frames of a game, 1914 x 1052; ``images`` and ``labels`` under ``data_root``."""


@DATASETS.register_module()
class SynthiaDataset(_SourceDataset, layout=SYNTHIA):
    """SYNTHIA-RAND-CITYSCAPES: 9,400 rendered frames, 1280 x 760; ``RGB`` and ``GT/LABELS``.

    Terrain, truck and train (9, 14, 16) do not occur in it.
    """

    never_labelled = NOT_IN_16
