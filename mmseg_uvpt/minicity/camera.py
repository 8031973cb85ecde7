"""A pinhole camera over a street that bends and rises.

World coordinates are metres: x right, y up, z forward, origin on the road under the camera.
Street coordinates are (u, z): u metres to the right of the camera's lane, z along the road.
Pixel coordinates are continuous, (column, row), pixel (0, 0) covering [0, 1) x [0, 1).
"""

from dataclasses import dataclass

import numpy as np

NEAR = 0.8
FAR = 170.0


@dataclass(frozen=True)
class Street:
    """The course of the road.

    Attributes:
        yaw: tangent of the angle between road and camera at the camera.
        bend: curvature, 1/m, positive to the right.
        rise: metres that the road has risen at z = 100 m.
    """

    yaw: float
    bend: float
    rise: float

    def world(self, u: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Return world points (..., 3) of street points; ``y`` is the height over the road."""
        u, y, z = np.asarray(u, float), np.asarray(y, float), np.asarray(z, float)
        points = np.empty((*np.broadcast_shapes(u.shape, y.shape, z.shape), 3))
        points[..., 0] = u + self.yaw * z + 0.5 * self.bend * z * z
        points[..., 1] = y + self.elevation(z)
        points[..., 2] = z
        return points

    def elevation(self, z: np.ndarray) -> np.ndarray:
        """Return the road's height in metres at distance ``z``."""
        return self.rise * (z / 100.0) ** 2

    def heading(self, z: float) -> float:
        """Return the road's direction at ``z`` in radians, 0 straight ahead, positive right."""
        return float(np.arctan(self.yaw + self.bend * z))


@dataclass(frozen=True)
class Camera:
    """Projection; pitch is a shift of the horizon, so that verticals stay vertical.

    Attributes:
        width, height: frame in pixels.
        focal: focal length in pixels.
        horizon: row of the horizon in pixels.
        eye: height over the road in metres.
    """

    width: int
    height: int
    focal: float
    horizon: float
    eye: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return pixel coordinates (..., 2) of world points (..., 3); z is held at `NEAR`."""
        points = np.asarray(points, float)
        scale = self.focal / np.maximum(points[..., 2], NEAR)
        pixels = np.empty((*points.shape[:-1], 2))
        pixels[..., 0] = self.width / 2 + points[..., 0] * scale
        pixels[..., 1] = self.horizon + (self.eye - points[..., 1]) * scale
        return pixels

    def ground_depth(self, street: Street) -> np.ndarray:
        """Return, for the centre of each row (height,), the distance of the road seen there."""
        z = np.geomspace(FAR, NEAR, 200)
        rows = self.project(street.world(0.0, 0.0, z))[:, 1]
        return np.interp(np.arange(self.height) + 0.5, rows, z)
