"""The target data set."""

from mmseg.datasets import CityscapesDataset as MMSegCityscapesDataset
from mmseg.registry import DATASETS

from mmseg_uvpt.datasets.checked_files import CheckedFiles
from mmseg_uvpt.datasets.layouts import CITYSCAPES


# In mmseg's place in the registry, so that a config of mmseg works as it is. It changes nothing
# but the errors where mmseg's would fail later, or train on nothing.
@DATASETS.register_module(force=True)
class CityscapesDataset(CheckedFiles, MMSegCityscapesDataset):
    """mmseg's `CityscapesDataset` with files checked when it is made.

    ``data_prefix`` chooses the split: ``img_path='leftImg8bit/val', seg_map_path='gtFine/val'``.
    """

    layout = CITYSCAPES
