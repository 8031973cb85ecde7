"""What every drawing function is given, and the solids and billboards they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mmseg_uvpt.minicity.camera import Camera, Street
from mmseg_uvpt.minicity.canvas import Canvas
from mmseg_uvpt.minicity.looks import Look
from mmseg_uvpt.minicity.palettes import Colour, Palette, shade

Parts = list[tuple[np.ndarray, Colour]]
_DETAIL = 5.0  # pixels a metre below which paint on faces would not show


@dataclass(frozen=True)
class Stage:
    """Canvas, camera, street and light of one frame.

    Attributes:
        sun: unit vector towards the sun, world coordinates.
        shadows: strength of cast shadows, 0..1.
        livery: number that tells all trams of the street how they are painted.
    """

    canvas: Canvas
    camera: Camera
    street: Street
    look: Look
    sun: np.ndarray
    shadows: float
    livery: int

    @property
    def palette(self) -> Palette:
        """The look's palette."""
        return self.look.palette

    def pixels(self, u: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return pixel coordinates (..., 2) of street points, heights over the road in metres."""
        return self.camera.project(self.street.world(u, y, z))

    def board(self, u: float, z: float) -> 'Billboard':
        """Return a plane across the view at a place of the street."""
        return Billboard(self, Place(self.street.world(u, 0.0, z), 0.0))

    def far_board(self, x: float, z: float) -> 'Billboard':
        """Return a plane across the view at the street's end, ``x`` metres off the middle."""
        return Billboard(self, Place(self.street.world(0, 0, z) * (0, 1, 1) + (x, 0, 0), 0.0))

    def light(self, normal: np.ndarray) -> float:
        """Return the brightness of a surface: sky from above, and the sun as far as it shines."""
        sky = 0.72 + 0.2 * normal[1]
        return float(sky + (0.08 + 0.3 * self.shadows) * max(0.0, float(normal @ self.sun)))


@dataclass
class Face:
    """A flat polygon in a thing's own coordinates (right, up, forward), with paint on it."""

    points: np.ndarray
    colour: Colour
    details: list[tuple[Sequence[np.ndarray], Colour]] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Position and direction of a thing: own coordinates to world coordinates."""

    origin: np.ndarray
    heading: float

    @classmethod
    def on(cls, street: Street, u: float, z: float, heading: float) -> 'Place':
        """Put a thing on the street; its heading is against the road's direction there."""
        return cls(street.world(u, 0.0, z), heading + street.heading(z))

    def world(self, points: np.ndarray) -> np.ndarray:
        """Turn and shift points (..., 3)."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])
        return np.asarray(points, float) @ turn + self.origin


def draw_solid(stage: Stage, place: Place, faces: list[Face], label: str, centre: float) -> None:
    """Draw a roughly convex body: its faces that point to the camera, far ones first.

    Args:
        faces: the body's surface, in its own coordinates.
        label: Cityscapes label name for the union of the faces.
        centre: height of the body's centre in metres, by which outside is told from inside.
    """
    eye = np.array([0.0, stage.camera.eye, 0.0])
    middle = place.world(np.array([0.0, centre, 0.0]))
    visible = []
    for face in faces:
        points = place.world(face.points)
        hub = points.mean(0)
        (ax, ay, az), (bx, by, bz) = points[1] - points[0], points[2] - points[0]
        normal = np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
        length = np.sqrt(normal @ normal)
        if length < 1e-9:
            continue
        normal = normal / length
        if normal @ (hub - middle) < 0:
            normal = -normal
        if normal @ (hub - eye) < 0:
            visible.append((np.linalg.norm(hub - eye), normal, face, points))
    if not visible:
        return
    visible.sort(key=lambda entry: -entry[0])
    outlines = [stage.camera.project(points) for *_, points in visible]
    depth = float(place.origin[2])
    detailed = stage.camera.focal / max(depth, 0.8) > _DETAIL
    stage.canvas.claim(label, outlines, depth)
    for (_, normal, face, _), outline in zip(visible, outlines, strict=True):
        light = stage.light(normal)
        stage.canvas.paint([outline], shade(face.colour, light))
        for polygons, colour in face.details if detailed else ():
            shapes = [stage.camera.project(place.world(polygon)) for polygon in polygons]
            stage.canvas.paint(shapes, shade(colour, 0.25 + 0.75 * light))


class Billboard:
    """An upright plane through a place, (across, up) in metres."""

    def __init__(self, stage: Stage, place: Place, least_width: float = 0.0) -> None:
        """Face along the place's right-hand direction, at least so wide as the camera sees it.

        Args:
            least_width: a flat thing seen edge-on would vanish; its apparent width is held at
                this share (0..1) of the full one.
        """
        self.stage = stage
        self.depth = float(place.origin[2])
        self.scale = stage.camera.focal / max(self.depth, 0.8)
        along = np.cos(place.heading)
        if abs(along) < least_width:
            along = np.copysign(least_width, along)
        self.along = along
        self._foot = stage.camera.project(place.origin)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) of plane points (N, 2)."""
        points = np.asarray(points, float)
        return self._foot + points * (self.scale * self.along, -self.scale)

    def draw(self, label: str, parts: Parts) -> None:
        """Claim polygons of plane points (N, 2) for a label, then paint them in order."""
        outlines = [self.pixels(points) for points, _ in parts]
        self.stage.canvas.claim(label, outlines, self.depth)
        for outline, (_, colour) in zip(outlines, parts, strict=True):
            self.stage.canvas.paint([outline], colour)


def disc(x: float, y: float, radius: float, sides: int = 14, tall: float = 1.0) -> np.ndarray:
    """Return a circle's corners (sides, 2), or an ellipse ``tall`` times as high as wide."""
    return _unit_circle(sides) * (radius, tall * radius) + (x, y)


@lru_cache
def _unit_circle(sides: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def box(left: float, bottom: float, right: float, top: float) -> np.ndarray:
    """Return an upright rectangle's corners (4, 2)."""
    return np.array([[left, bottom], [right, bottom], [right, top], [left, top]])


def limb(start: Sequence[float], end: Sequence[float], thick: float, thin: float) -> np.ndarray:
    """Return a tapered bar's corners (4, 2) from ``start`` to ``end``."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    along = end - start
    across = np.array([-along[1], along[0]]) / (np.hypot(*along) + 1e-9) / 2
    return np.array(
        [start + across * thick, end + across * thin, end - across * thin, start - across * thick]
    )
