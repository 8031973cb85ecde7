"""The target data set."""

from pathlib import Path

from mmseg.datasets import BaseSegDataset, CityscapesDataset
from mmseg.registry import DATASETS

from mmseg_uvpt.datasets.checked_files import CheckedFiles, as_suffixes
from mmseg_uvpt.datasets.files.image_files import without_suffix
from mmseg_uvpt.datasets.layouts import CITYSCAPES
from mmseg_uvpt.datasets.named_classes import NamedClasses


@DATASETS.register_module()
class CheckedCityscapesDataset(NamedClasses, CheckedFiles, CityscapesDataset):
    """mmseg's `CityscapesDataset` with files checked when it is made, and with any classes.

    Configs that name mmseg's get this one (`engine.config.recorded`). With the classes of
    Cityscapes it changes the errors where mmseg's would fail later, or train on nothing, and knows
    pseudo labels.

    ``data_prefix`` chooses the split: ``img_path='leftImg8bit/val', seg_map_path='gtFine/val'``.

    Args:
        pseudo_label_dir: folder of pseudo labels that a pipeline may load (`LoadPseudoLabel`).
        **kwargs: as mmseg's takes them.
    """

    layout = CITYSCAPES

    def __init__(self, *args, pseudo_label_dir: str | None = None, **kwargs) -> None:
        self.pseudo_label_dir = pseudo_label_dir
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return the paths of images, labels and pseudo labels (``pseudo_label_path``).

        Raises:
            DataError: see `CheckedFiles`; pseudo labels are not looked for.
        """
        frames = super().load_data_list()
        for frame in frames if self.pseudo_label_dir else ():
            path = pseudo_label_path(self, frame['img_path'], self.pseudo_label_dir)
            frame['pseudo_label_path'] = str(path)
        return frames


def pseudo_label_path(dataset: BaseSegDataset, image: str | Path, folder: str | Path) -> Path:
    """Return where the pseudo label of an image belongs.

    Pseudo labels lie in a tree like that of the images, with the data set's label suffix.
    """
    name = Path(image).relative_to(dataset.data_prefix['img_path']).as_posix()
    frame = without_suffix(name, as_suffixes(dataset.img_suffix))
    return Path(folder) / f'{frame}{dataset.seg_map_suffix}'


# its name in version 0.1, which users' own derive from
CityscapesDataset = CheckedCityscapesDataset
