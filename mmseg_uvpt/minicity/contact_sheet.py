"""A contact sheet: the same streets in all looks, with their labels in Cityscapes' colours."""

import numpy as np

from mmseg_uvpt.datasets.cityscapes_labels import BY_ID
from mmseg_uvpt.minicity.looks import CITYSCAPES, GTA, SYNTHIA, Look
from mmseg_uvpt.minicity.renderer import render

_ROWS, _GAP = 6, 6


def contact_sheet(seed: int, target: Look = CITYSCAPES) -> np.ndarray:
    """Return a sheet (H, W, 3) uint8 RGB.

    A row is one street: GTA's look, its labels, SYNTHIA's look, the target's look, its labels.
    """
    colours = np.zeros((256, 3), np.uint8)
    for number, label in BY_ID.items():
        if number >= 0:
            colours[number] = label.colour
    lines = []
    for index in range(_ROWS):
        game, game_ids, _ = render(seed, index, GTA)
        sunny, *_ = render(seed, index, SYNTHIA)
        photo, photo_ids, _ = render(seed, index, target)
        tiles = [game, colours[game_ids], sunny, photo, colours[photo_ids]]
        lines.append(np.concatenate([_framed(tile) for tile in tiles], axis=1))
    return np.concatenate(lines)


def _framed(tile: np.ndarray) -> np.ndarray:
    edge = ((0, _GAP), (0, _GAP), (0, 0))
    return np.pad(tile, edge, constant_values=255)
