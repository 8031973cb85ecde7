"""All labels of Cityscapes: what its polygons are called, with their ids and colours.

Source: the data set's definition (cityscapesscripts 2.3.0, ``labels.py``). The 19 of them that
models tell apart are those of `label_encodings`.
"""

from typing import NamedTuple


class Label(NamedTuple):
    """A label of Cityscapes.

    Args:
        name: in its polygons.
        id: in its ``labelIds`` files; -1 is not drawn.
        colour: red, green, blue.
    """

    name: str
    id: int
    colour: tuple[int, int, int]

    @property
    def has_instances(self) -> bool:
        """Whether single objects are told apart: people and vehicles."""
        return 24 <= self.id <= 33


LABELS = tuple(
    Label(name, number, colour)
    for number, name, colour in (
        (0, 'unlabeled', (0, 0, 0)),
        (1, 'ego vehicle', (0, 0, 0)),
        (2, 'rectification border', (0, 0, 0)),
        (3, 'out of roi', (0, 0, 0)),
        (4, 'static', (0, 0, 0)),
        (5, 'dynamic', (111, 74, 0)),
        (6, 'ground', (81, 0, 81)),
        (7, 'road', (128, 64, 128)),
        (8, 'sidewalk', (244, 35, 232)),
        (9, 'parking', (250, 170, 160)),
        (10, 'rail track', (230, 150, 140)),
        (11, 'building', (70, 70, 70)),
        (12, 'wall', (102, 102, 156)),
        (13, 'fence', (190, 153, 153)),
        (14, 'guard rail', (180, 165, 180)),
        (15, 'bridge', (150, 100, 100)),
        (16, 'tunnel', (150, 120, 90)),
        (17, 'pole', (153, 153, 153)),
        (18, 'polegroup', (153, 153, 153)),
        (19, 'traffic light', (250, 170, 30)),
        (20, 'traffic sign', (220, 220, 0)),
        (21, 'vegetation', (107, 142, 35)),
        (22, 'terrain', (152, 251, 152)),
        (23, 'sky', (70, 130, 180)),
        (24, 'person', (220, 20, 60)),
        (25, 'rider', (255, 0, 0)),
        (26, 'car', (0, 0, 142)),
        (27, 'truck', (0, 0, 70)),
        (28, 'bus', (0, 60, 100)),
        (29, 'caravan', (0, 0, 90)),
        (30, 'trailer', (0, 0, 110)),
        (31, 'train', (0, 80, 100)),
        (32, 'motorcycle', (0, 0, 230)),
        (33, 'bicycle', (119, 11, 32)),
        (-1, 'license plate', (0, 0, 142)),
    )
)
BY_NAME = {label.name: label for label in LABELS}
BY_ID = {label.id: label for label in LABELS}
