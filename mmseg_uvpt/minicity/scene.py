"""What stands where: a street laid out at random, without knowing how it will look.

Items carry their own seed, so that drawing one thing never changes another.
"""

from dataclasses import dataclass, field

import numpy as np

from mmseg_uvpt.minicity.camera import FAR, NEAR

LANE = 3.3
LENGTHS = {'car': 4.4, 'truck': 7.0, 'bus': 11.0, 'train': 9.0}  # metres, of vehicles
_COUPLING = 0.2  # between the cars of a tram


@dataclass(frozen=True)
class Item:
    """One thing in the street.

    Attributes:
        kind: name of its drawing function in `renderer.DRAWERS`.
        u, z: foot of the thing in street coordinates, metres.
        seed: of its details.
        heading: radians against the road, 0 away from the camera, positive to the right.
        length: metres along the road (houses, walls) or size (trees).
        height: metres, 0 where the kind decides.
    """

    kind: str
    u: float
    z: float
    seed: int
    heading: float = 0.0
    length: float = 0.0
    height: float = 0.0

    @property
    def order(self) -> tuple[int, float, float]:
        """Painting order: far slices first, in a slice the outermost first.

        Seen from the road, whatever is farther out on the same ray is farther away. What stands
        along the road counts by its far end, as things stand before it; a vehicle by its near
        end, as things stand behind it.
        """
        z = self.z + self.length * 0.98
        if abs(np.cos(self.heading)) > 0.7:
            z -= LENGTHS.get(self.kind, 0.0) / 2
        return (-int(z // 6), -abs(self.u), -self.z)


@dataclass(frozen=True)
class Side:
    """Cross-section of one side, all in metres from the road's middle line outwards."""

    sign: int
    edge: float
    verge: float
    sidewalk: float

    @property
    def frontage(self) -> float:
        """Where houses and fences stand."""
        return self.edge + self.verge + self.sidewalk


@dataclass(frozen=True)
class Scene:
    """A street: cross-section, crossing road and all that stands in it."""

    lanes_left: int
    lanes_right: int
    left: Side
    right: Side
    crossing: tuple[float, float] | None
    zebra: float | None
    rails: bool
    parks: list[tuple[int, float, float]]
    items: list[Item] = field(default_factory=list)

    @property
    def lane_lines(self) -> list[float]:
        """Lateral positions between lanes; 0 is the camera lane's middle."""
        return [(k - 0.5) * LANE for k in range(1 - self.lanes_left, self.lanes_right)]

    @property
    def middle(self) -> float:
        """Line between the two directions of traffic."""
        return -0.5 * LANE


class Planner:
    """Lays out a scene with one random generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def plan(self) -> Scene:
        """Return a new scene."""
        rng = self.rng
        lanes_left, lanes_right = int(rng.integers(1, 3)), int(rng.choice([1, 1, 2]))
        parking = rng.random(2) < 0.55
        edges = (
            (lanes_left + 0.5) * LANE + 2.2 * parking[0],
            (lanes_right - 0.5) * LANE + 2.2 * parking[1],
        )
        left, right = (
            Side(
                sign,
                edge,
                float(rng.uniform(1.2, 3.0)) if rng.random() < 0.35 else 0.0,
                float(rng.uniform(1.8, 4.5)),
            )
            for sign, edge in zip((-1, 1), edges, strict=True)
        )
        crossing = None
        if rng.random() < 0.5:
            start = float(rng.uniform(14, 55))
            crossing = (start, start + float(rng.uniform(8, 13)))
        zebra = crossing[0] - 4.5 if crossing and rng.random() < 0.7 else None
        scene = Scene(
            lanes_left, lanes_right, left, right, crossing, zebra, bool(rng.random() < 0.3), []
        )
        for side in (left, right):
            self._plots(scene, side)
            self._street_trees(scene, side)
            self._furniture(scene, side)
            self._people(scene, side)
        for side, parked in zip((left, right), parking, strict=True):
            if parked:
                self._parked(scene, side)
        self._traffic(scene)
        if crossing:
            self._crossing(scene)
        self._skyline(scene)
        return scene

    def _add(self, scene: Scene, kind: str, u: float, z: float, **more: float) -> None:
        seed = int(self.rng.integers(1 << 31))
        scene.items.append(Item(kind, float(u), float(z), seed, **more))

    def _free(self, scene: Scene, z: float, margin: float = 1.0) -> bool:
        """Whether ``z`` is clear of the crossing road."""
        return not scene.crossing or not (
            scene.crossing[0] - margin < z < scene.crossing[1] + margin
        )

    def _plots(self, scene: Scene, side: Side) -> None:
        """Line a side with houses, parks and walled lots up to the horizon."""
        rng, z = self.rng, float(self.rng.uniform(-12, 0))  # cut at random
        green = rng.random() < 0.3
        while z < FAR - 20:
            if scene.crossing and scene.crossing[0] - 4 < z < scene.crossing[1] + 1:
                z = scene.crossing[1] + 1.0
            length = float(rng.uniform(9, 24))
            if scene.crossing and z < scene.crossing[0] < z + length:
                length = scene.crossing[0] - z - 0.5
            near = max(z, NEAR)
            length = z + length - near
            z = near
            if length < 3:
                z += length
                continue
            if rng.random() < (0.6 if green else 0.12):
                self._park(scene, side, z, length)
            else:
                self._add(
                    scene,
                    'building',
                    side.sign * side.frontage,
                    z,
                    length=length,
                    height=float(rng.uniform(6.5, 19) * (1.4 if rng.random() < 0.15 else 1)),
                )
            z += length + (float(rng.uniform(1, 5)) if rng.random() < 0.2 else 0.0)

    def _park(self, scene: Scene, side: Side, z: float, length: float) -> None:
        rng = self.rng
        scene.parks.append((side.sign, z, z + length))
        border = str(rng.choice(['wall', 'fence', 'hedge', 'none'], p=[0.38, 0.38, 0.12, 0.12]))
        if border != 'none':
            height = float(rng.uniform(0.9, 2.0))
            steps = max(1, round(length / 5))
            for k in range(steps):
                self._add(
                    scene,
                    border,
                    side.sign * side.frontage,
                    z + k * length / steps,
                    length=length / steps,
                    height=height,
                )
        for _ in range(int(rng.integers(2, 3 + length // 4))):
            self._add(
                scene,
                str(rng.choice(['tree', 'tree', 'bush'])),
                side.sign * (side.frontage + rng.uniform(3.0, 12)),
                max(z, 5.0) + rng.uniform(0, length),
                height=float(rng.uniform(4, 10)),
            )

    def _street_trees(self, scene: Scene, side: Side) -> None:
        rng = self.rng
        if rng.random() > 0.6:
            return
        step, u = rng.uniform(8, 16), side.edge + max(side.verge * 0.5, 0.7)
        for z in np.arange(rng.uniform(7, 16), FAR * 0.7, step):
            if self._free(scene, z, 3) and rng.random() < 0.8:
                height = float(rng.uniform(5, 9))
                self._add(scene, 'tree', side.sign * u, z + rng.normal(0, 0.6), height=height)

    def _furniture(self, scene: Scene, side: Side) -> None:
        rng, u = self.rng, side.edge + 0.45
        if rng.random() < 0.75:
            for z in np.arange(rng.uniform(7, 20), FAR * 0.6, rng.uniform(20, 30)):
                self._add(scene, 'lamp', side.sign * u, z, heading=float(side.sign))
        for z in rng.uniform(7, 40, rng.poisson(1.6)):
            self._add(scene, 'sign', side.sign * (u + 0.2), z)
        for z in rng.uniform(9, 45, rng.poisson(0.5)):
            self._add(scene, 'bin', side.sign * (side.frontage - 0.5), z)
        for z in rng.uniform(6.5, 28, rng.poisson(0.7)):
            turn = float(rng.choice([-1, 1]) * rng.uniform(0.9, 1.5))
            kind = str(rng.choice(['bicycle', 'bicycle', 'motorcycle']))
            self._add(scene, kind, side.sign * (side.edge + 1.1), z, heading=turn)
        if rng.random() < 0.15:
            start = rng.uniform(6, 20)
            for z in np.arange(start, start + rng.uniform(10, 30), 2.5):
                if self._free(scene, z + 1, 2):
                    u_rail = side.sign * (side.edge + 0.25)
                    self._add(scene, 'fence', u_rail, z, length=2.5, height=1.0)

    def _people(self, scene: Scene, side: Side) -> None:
        rng = self.rng
        for z in 6 + rng.gamma(2.0, 8.0, rng.poisson(2.6)):
            u = side.edge + side.verge + rng.uniform(0.5, max(side.sidewalk - 0.4, 0.6))
            for k in range(int(rng.choice([1, 1, 1, 2, 3]))):
                self._add(
                    scene,
                    'person',
                    side.sign * (u + 0.55 * k),
                    z + 0.2 * k,
                    heading=float(rng.choice([0, np.pi]) + rng.normal(0, 0.3)),
                )

    def _parked(self, scene: Scene, side: Side) -> None:
        rng = self.rng
        z = rng.uniform(4.5, 9)
        while z < FAR * 0.6:
            if self._free(scene, z, 5) and rng.random() < 0.8:
                kind = str(rng.choice(['car', 'truck'], p=[0.96, 0.04]))
                heading = 0.0 if side.sign > 0 else np.pi
                self._add(scene, kind, side.sign * (side.edge - 1.1), z, heading=heading)
            z += rng.uniform(5.6, 8.0)

    def _traffic(self, scene: Scene) -> None:
        rng = self.rng
        kinds = ['car', 'truck', 'bus', 'train', 'bike_rider', 'motor_rider']
        for lane in range(-scene.lanes_left, scene.lanes_right):
            ahead = lane >= 0
            inner = lane == -1
            share = np.array([0.63, 0.08, 0.09, 0.12 if inner else 0.0, 0.1, 0.08])
            z = 9.0 + rng.exponential(14) + (4.0 if lane == 0 else 0.0)
            while z < FAR * 0.7:
                kind = str(rng.choice(kinds, p=share / share.sum()))
                length = LENGTHS.get(kind, 2.0)
                u = lane * LANE + (0.9 if ahead else -0.9) * kind.endswith('rider')
                for _ in range(int(rng.integers(2, 5)) if kind == 'train' else 1):
                    heading = 0.0 if ahead else np.pi
                    self._add(scene, kind, u, z + length / 2, heading=heading)
                    z += length + _COUPLING
                z += 5 + rng.exponential(20)

    def _crossing(self, scene: Scene) -> None:
        rng, (start, end) = self.rng, scene.crossing
        if rng.random() < 0.85:
            for side, z in ((scene.right, start - 1.2), (scene.left, start - 1.2)):
                self._add(scene, 'traffic_light', side.sign * (side.edge + 0.5), z)
            if rng.random() < 0.6:
                self._add(scene, 'traffic_light', scene.right.edge + 0.5, end + 1.5)
        if rng.random() < 0.6:
            kind = str(rng.choice(['car', 'car', 'bus', 'truck', 'train', 'bike_rider']))
            turn = float(rng.choice([-1, 1]) * np.pi / 2)
            self._add(scene, kind, rng.uniform(-16, 16), (start + end) / 2, heading=turn)
        if scene.zebra is not None:
            for _ in range(int(rng.integers(0, 4))):
                u = rng.uniform(-scene.left.edge, scene.right.edge)
                turn = float(rng.choice([-1, 1]) * np.pi / 2)
                z = scene.zebra + rng.uniform(0.5, 2.5)
                self._add(scene, 'person', u, z, heading=turn)

    def _skyline(self, scene: Scene) -> None:
        rng = self.rng
        u = -190.0
        while u < 190:
            kind = 'far_tree' if rng.random() < 0.45 else 'far_building'
            width = float(rng.uniform(8, 30))
            height = float(rng.uniform(7, 14) if kind == 'far_tree' else rng.uniform(9, 34))
            self._add(scene, kind, u, FAR - rng.uniform(0, 12), length=0.0, height=height)
            u += width * 0.7
