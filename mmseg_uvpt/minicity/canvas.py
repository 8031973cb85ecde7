"""The picture being painted: colours at twice the resolution, labels, depth and polygons."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mmseg_uvpt.datasets.cityscapes_labels import BY_NAME
from mmseg_uvpt.minicity.palettes import Colour

OVERSAMPLING = 2
_FRACTION_BITS = 4
_LIMIT = 6000.0  # pixels; keeps fixed-point coordinates of near things within 32 bits

Polygons = Sequence[np.ndarray] | np.ndarray
Depth = float | Callable[[np.ndarray, np.ndarray], np.ndarray]


class Canvas:
    """Painter's algorithm: what comes later covers what was there.

    Colours are painted at `OVERSAMPLING` times the resolution and averaged at the end. A label
    belongs to a pixel that is covered at least half; it is set through the same outlines that
    are kept as annotation polygons, so both agree, holes being filled as annotators fill them.

    Attributes:
        colours: (2H, 2W, 3) uint8 colour buffer, for gradients and shadows.
        label_ids: (H, W) uint8 Cityscapes label ids.
        depth: (H, W) float32 metres.
        polygons: (label name, (N, 2) int32 pixel indices) in painting order.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        size = (height * OVERSAMPLING, width * OVERSAMPLING)
        self.colours = np.zeros((*size, 3), np.uint8)
        self.label_ids = np.zeros((height, width), np.uint8)
        self.depth = np.full((height, width), np.inf, np.float32)
        self.polygons: list[tuple[str, np.ndarray]] = []

    def paint(self, polygons: Polygons, colour: Colour) -> None:
        """Fill polygons, each (N, 2) pixels, that do not overlap each other."""
        if len(polygons):
            cv2.fillPoly(self.colours, _fixed(polygons), colour, shift=_FRACTION_BITS)

    def stroke(self, line: np.ndarray, colour: Colour, width: float, closed: bool = False) -> None:
        """Draw a line through (N, 2) pixels, ``width`` pixels thick (at least a thin one)."""
        thickness = max(1, round(width * OVERSAMPLING))
        cv2.polylines(self.colours, _fixed([line]), closed, colour, thickness, shift=_FRACTION_BITS)

    def claim(self, label: str, polygons: Polygons, depth: Depth) -> None:
        """Give the union of polygons a label and a depth.

        Args:
            label: Cityscapes label name.
            polygons: each (N, 2) pixels; they may overlap.
            depth: metres, or a function of columns (1, w) and rows (h, 1), pixel centres.
        """
        corners = np.concatenate([np.asarray(p).reshape(-1, 2) for p in polygons])
        left, top = np.maximum(np.floor(corners.min(0)).astype(int) - 1, 0)
        right, bottom = np.minimum(
            np.ceil(corners.max(0)).astype(int) + 2, [self.width, self.height]
        )
        if right <= left or bottom <= top:
            return
        size = (bottom - top, right - left)
        fine = np.zeros((size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), np.uint8)
        for polygon in _fixed([polygon - (left, top) for polygon in polygons]):
            cv2.fillPoly(fine, [polygon], 255, shift=_FRACTION_BITS)
        mask = cv2.resize(fine, size[::-1], interpolation=cv2.INTER_AREA)
        mask = (mask >= 127).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        if not outlines:
            return
        cv2.drawContours(mask, outlines, -1, 1, cv2.FILLED)
        covered = mask.astype(bool)
        self.label_ids[top:bottom, left:right][covered] = BY_NAME[label].id
        if callable(depth):
            columns = np.arange(left, right)[None] + 0.5
            rows = np.arange(top, bottom)[:, None] + 0.5
            depth = np.broadcast_to(depth(columns, rows), size)[covered]
        self.depth[top:bottom, left:right][covered] = depth
        offset = np.array([left, top], np.int32)
        self.polygons += [(label, outline[:, 0] + offset) for outline in outlines]

    def picture(self) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB picture at the frame's resolution."""
        return cv2.resize(self.colours, (self.width, self.height), interpolation=cv2.INTER_AREA)


def _fixed(polygons: Polygons) -> list[np.ndarray]:
    """Return polygons in fixed-point coordinates of the oversampled buffer."""
    scale = float(1 << _FRACTION_BITS)
    same = len(polygons) == 1 or len({len(polygon) for polygon in polygons}) == 1
    stacks = [np.asarray(polygons)] if same else polygons  # one array is much faster than many
    fixed = [
        ((stack.clip(-_LIMIT, _LIMIT) * OVERSAMPLING - 0.5) * scale).round().astype(np.int32)
        for stack in stacks
    ]
    return list(fixed[0]) if same else fixed
