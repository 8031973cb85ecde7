"""Any data set of the table of layouts, as source or target."""

import os

from mmseg.registry import DATASETS

from mmseg_uvpt.datasets.cityscapes import CheckedCityscapesDataset
from mmseg_uvpt.datasets.layouts import LAYOUTS
from mmseg_uvpt.errors import UserError


@DATASETS.register_module()
class DrivingDataset(CheckedCityscapesDataset):
    """One split of a data set whose labels have the classes of Cityscapes.

    Args:
        layout: its name in `layouts.LAYOUTS`.
        data_root: its root.
        split: one of those that its layout lists, or a folder beside them such as ``'test'``; may
            be left out where there is one alone.
        data_prefix: folders relative to the root, where they are not those of the layout.
        **kwargs: as `CheckedCityscapesDataset` takes them.

    Raises:
        UserError: there is no such layout, or no split is named where there are several.
        DataError: see `CheckedFiles`.
    """

    def __init__(
        self,
        layout: str,
        data_root: str,
        split: str | None = None,
        data_prefix: dict | None = None,
        **kwargs,
    ) -> None:
        if layout not in LAYOUTS:
            raise UserError(f'layout={layout!r}: known are {", ".join(LAYOUTS)}')
        self.layout = known = LAYOUTS[layout]
        if split is None and len(known.splits) > 1:
            raise UserError(f'{known.title} has several splits: set split to {known.splits[0]!r}')
        self.split = split or known.splits[0]
        folders = {
            'img_path': known.folder(known.images, self.split),
            'seg_map_path': known.folder(known.labels, self.split),
        }
        suffixes = {'img_suffix': known.image_suffix, 'seg_map_suffix': known.train_ids_suffix}
        data_prefix = data_prefix or folders
        super().__init__(data_root=data_root, data_prefix=data_prefix, **(suffixes | kwargs))

    def _has(self, path: str) -> bool:
        return self.layout.has(self.split, os.path.relpath(path, self.data_root))
