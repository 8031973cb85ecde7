"""Cars, lorries, buses and trams: solids of extruded side views, with windows, lights, wheels."""

from itertools import pairwise

import numpy as np

from mmseg_uvpt.minicity.palettes import Colour, pick, shade
from mmseg_uvpt.minicity.scene import LENGTHS, Item
from mmseg_uvpt.minicity.stage import Face, Place, Stage, disc, draw_solid

_TAIL_LIGHT: Colour = (206, 28, 30)
_HEAD_LIGHT: Colour = (250, 246, 222)
_PLATE: Colour = (226, 226, 214)

# Side views as (metres forward of the middle, metres up), from the rear bumper over the roof to
# the front bumper: lower body, then the cabin standing on it.
_SALOON = (
    [(-2.2, 0.25), (-2.2, 0.8), (-1.65, 0.92), (0.85, 0.9), (2.0, 0.76), (2.2, 0.58), (2.2, 0.25)],
    [(-1.65, 0.92), (-1.0, 1.42), (0.15, 1.42), (0.85, 0.9)],
)
_HATCHBACK = (
    [
        (-1.95, 0.25),
        (-1.98, 0.85),
        (-1.9, 0.98),
        (0.95, 0.94),
        (1.8, 0.8),
        (1.98, 0.6),
        (1.98, 0.25),
    ],
    [(-1.9, 0.98), (-1.55, 1.5), (0.15, 1.52), (0.95, 0.94)],
)
_OFFROADER = (
    [(-2.2, 0.35), (-2.22, 1.0), (-2.15, 1.1), (0.9, 1.08), (2.0, 1.0), (2.2, 0.8), (2.2, 0.35)],
    [(-2.15, 1.1), (-1.85, 1.76), (0.1, 1.78), (0.9, 1.08)],
)


def draw_car(stage: Stage, item: Item) -> None:
    """Draw a saloon, a hatchback or an off-roader."""
    rng = np.random.default_rng(item.seed)
    colour = pick(stage.palette.cars, rng)
    if rng.random() < 0.2:
        shape, wide = _OFFROADER, 0.92
    else:
        shape, wide = (_HATCHBACK if rng.random() < stage.look.hatchbacks else _SALOON), 0.87
    lower, cabin = (np.array(part) for part in shape)
    belt = lower[2, 1]
    waist, roof = wide * 0.96, wide * 0.76

    def half(y: np.ndarray) -> np.ndarray:
        """Half the body's width at height ``y``: straight below the belt, leaning in above."""
        share = np.clip((y - belt) / (cabin[1, 1] - belt), 0, 1)
        return np.where(y > belt + 1e-6, waist + (roof - waist) * share, wide)

    glass = stage.palette.car_glass
    faces = [Face(_across(lower[k], lower[k + 1], half), colour) for k in range(len(lower) - 1)]
    faces[0].details += _rear_details(wide, belt, colour)
    faces[4].details += _front_details(wide, lower[4, 1])
    faces[5].details += [([_cross(-wide * 0.75, wide * 0.75, 2.2, 0.3, 0.42)], (30, 30, 32))]
    del faces[2]  # the belt line under the cabin
    for k in range(3):
        face = Face(_across(cabin[k], cabin[k + 1], half), colour)
        if k != 1:
            face.details.append(([_shrunk(face.points, 0.84)], glass))
        faces.append(face)
    for sign in (-1, 1):
        faces.append(_flank(lower, half, sign, colour))
        faces[-1].details += _wheels(stage, (-1.3, 1.3), 0.33, sign * wide)
        window = _flank(cabin, half, sign, colour)
        front, back = _split(window.points, -0.45, 0.06)
        window.details.append(([_shrunk(front, 0.8), _shrunk(back, 0.8)], glass))
        faces.append(window)
    faces += _tyres(stage, (-1.3, 1.3), 0.33, wide)
    draw_solid(stage, Place.on(stage.street, item.u, item.z, item.heading), faces, 'car', 0.6)


def draw_truck(stage: Stage, item: Item) -> None:
    """Draw a lorry: a box behind a cab."""
    rng = np.random.default_rng(item.seed)
    cab, box = pick(stage.palette.trucks, rng), pick(stage.palette.trucks, rng)
    place = Place.on(stage.street, item.u, item.z, item.heading)
    load = _body(-3.4, 1.4, 0.75, 3.2, 1.2, box)
    load[0].details += [
        ([_cross(-0.03, 0.03, -3.4, 0.8, 3.1)], shade(box, 0.6)),
        ([_cross(s * 1.1 - 0.12, s * 1.1 + 0.12, -3.4, 0.8, 1.05) for s in (-1, 1)], _TAIL_LIGHT),
    ]
    stripe = shade(pick(stage.palette.shops, rng), 1.0)
    for face, sign in zip(load[3:5], (-1, 1), strict=True):
        face.details.append(([_along(-2.6, 0.6, 1.6, 2.3, sign * 1.2)], stripe))
    driver = _body(1.6, 3.4, 0.5, 2.6, 1.15, cab)
    glass = stage.palette.car_glass
    driver[1].details += [
        ([_cross(-1.0, 1.0, 3.4, 1.5, 2.4)], glass),
        ([_cross(s * 0.9 - 0.15, s * 0.9 + 0.15, 3.4, 0.6, 0.85) for s in (-1, 1)], _HEAD_LIGHT),
    ]
    for face, sign in zip(driver[3:5], (-1, 1), strict=True):
        face.details.append(([_along(2.2, 3.2, 1.5, 2.35, sign * 1.15)], glass))
    frame = _body(-3.3, 3.3, 0.4, 0.8, 0.9, (44, 44, 48))
    for face, sign in zip(frame[3:5], (-1, 1), strict=True):
        face.details += _wheels(stage, (-2.4, 2.4), 0.5, sign * 1.15)
    ahead = np.cos(place.heading) * np.sign(place.origin[2]) > 0
    parts = [frame, driver, load] if ahead else [frame, load, driver]
    tyres = _tyres(stage, (-2.4, 2.4), 0.5, 1.15)
    for faces in (tyres, *parts):
        draw_solid(stage, place, faces, 'truck', 1.2)


def draw_bus(stage: Stage, item: Item) -> None:
    """Draw a city bus."""
    rng = np.random.default_rng(item.seed)
    colour = pick(stage.palette.buses, rng)
    place = Place.on(stage.street, item.u, item.z, item.heading)
    faces = _coach(stage, LENGTHS['bus'], 0.35, 3.1, 1.25, colour, lit=(240, 150, 40))
    for face, sign in zip(faces[3:5], (-1, 1), strict=True):
        face.details += _wheels(stage, (-3.4, 3.4), 0.48, sign * 1.25)
    draw_solid(stage, place, faces + _tyres(stage, (-3.4, 3.4), 0.48, 1.25), 'bus', 1.6)


def draw_train(stage: Stage, item: Item) -> None:
    """Draw one car of a tram; all cars of a street have one livery."""
    livery = stage.palette.trams[stage.livery % len(stage.palette.trams)]
    faces = _coach(stage, LENGTHS['train'], 0.3, 3.5, 1.2, livery, lit=(250, 200, 80))
    for face in faces[3:5]:
        band = face.points.copy()
        band[:, 1] = np.where(band[:, 1] > 1, 0.75, 0.5)
        face.details.append(([band], stage.palette.trim))
    place = Place.on(stage.street, item.u, item.z, item.heading)
    draw_solid(stage, place, faces, 'train', 1.8)


def _coach(
    stage: Stage, length: float, low: float, high: float, half: float, colour: Colour, lit: Colour
) -> list[Face]:
    """Return a long box with a row of windows, wind screens, lights and a destination board."""
    faces = _body(-length / 2, length / 2, low, high, half, colour)
    glass, end = stage.palette.car_glass, length / 2
    for k, (z, light) in enumerate(((-end, _TAIL_LIGHT), (end, _HEAD_LIGHT))):
        lamps = [
            _cross(s * half * 0.78 - 0.14, s * half * 0.78 + 0.14, z, 0.7, 0.95) for s in (-1, 1)
        ]
        faces[k].details += [
            ([_cross(-half * 0.88, half * 0.88, z, 1.35 - 0.2 * k, high - 0.6)], glass),
            ([_cross(-half * 0.6, half * 0.6, z, high - 0.45, high - 0.15)], lit),
            (lamps, light),
            ([_cross(-half, half, z, low, low + 0.12)], (40, 40, 42)),
        ]
    starts = np.linspace(-end + 0.4, end - 0.4, max(3, round(length / 1.6)) + 1)
    for face, sign in zip(faces[3:5], (-1, 1), strict=True):
        panes = [
            _along(a + 0.08, b - 0.08, 1.45, high - 0.65, sign * half) for a, b in pairwise(starts)
        ]
        face.details.append((panes, glass))
    return faces


def _body(
    rear: float, front: float, low: float, high: float, half: float, colour: Colour
) -> list[Face]:
    """Return a box's faces: rear, front, roof, left, right."""
    return [
        Face(_cross(-half, half, rear, low, high), colour),
        Face(_cross(-half, half, front, low, high), colour),
        Face(
            np.array(
                [[-half, high, rear], [half, high, rear], [half, high, front], [-half, high, front]]
            ),
            colour,
        ),
        Face(_along(rear, front, low, high, -half), colour),
        Face(_along(rear, front, low, high, half), colour),
    ]


def _rear_details(wide: float, belt: float, colour: Colour) -> list:
    z, y = -2.22, belt - 0.32
    lamps = [_cross(s * wide * 0.8 - 0.14, s * wide * 0.8 + 0.14, z, y, y + 0.2) for s in (-1, 1)]
    return [
        ([_cross(-wide, wide, z, 0.25, 0.42)], shade(colour, 0.55)),
        (lamps, _TAIL_LIGHT),
        ([_cross(-0.26, 0.26, z, y - 0.02, y + 0.11)], _PLATE),
    ]


def _front_details(wide: float, top: float) -> list:
    z, y = 2.2, top - 0.22
    lamps = [
        _cross(s * wide * 0.76 - 0.17, s * wide * 0.76 + 0.17, z, y, y + 0.16) for s in (-1, 1)
    ]
    return [
        ([_cross(-wide * 0.5, wide * 0.5, z, y - 0.1, y + 0.08)], (34, 36, 40)),
        (lamps, _HEAD_LIGHT),
    ]


def _wheels(stage: Stage, axles: tuple, radius: float, x: float) -> list:
    """Return arches, tyres and rims on a flank."""

    def upright(size: float) -> list[np.ndarray]:
        rings = [disc(a, radius, size) for a in axles]
        return [np.stack([np.full(len(r), x), r[:, 1], r[:, 0]], -1) for r in rings]

    tyre = stage.palette.tyre
    return [
        (upright(radius), tyre),
        (upright(radius * 0.58), (150, 152, 156)),
        (upright(0.06), tyre),
    ]


def _tyres(stage: Stage, axles: tuple, radius: float, half: float) -> list[Face]:
    """Return the tyres' treads below the body, seen from behind or ahead."""
    return [
        Face(
            _cross(s * half - 0.11, s * half + 0.11, a + t * radius, 0.0, radius),
            stage.palette.tyre,
        )
        for a, t in ((axles[0], -1), (axles[1], 1))
        for s in (-0.88, 0.88)
    ]


def _across(low: np.ndarray, high: np.ndarray, half: callable) -> np.ndarray:
    """Return the strip of skin between two points of the side view."""
    a, b = half(low[1]), half(high[1])
    return np.array(
        [[-a, low[1], low[0]], [a, low[1], low[0]], [b, high[1], high[0]], [-b, high[1], high[0]]]
    )


def _flank(profile: np.ndarray, half: callable, sign: int, colour: Colour) -> Face:
    return Face(np.stack([sign * half(profile[:, 1]), profile[:, 1], profile[:, 0]], -1), colour)


def _cross(left: float, right: float, z: float, low: float, high: float) -> np.ndarray:
    """Return a rectangle across the vehicle, (4, 3)."""
    return np.array([[left, low, z], [right, low, z], [right, high, z], [left, high, z]])


def _along(rear: float, front: float, low: float, high: float, x: float) -> np.ndarray:
    """Return a rectangle along the vehicle, (4, 3)."""
    return np.array([[x, low, rear], [x, low, front], [x, high, front], [x, high, rear]])


def _shrunk(points: np.ndarray, share: float) -> np.ndarray:
    middle = points.mean(0)
    return middle + (points - middle) * share


def _split(window: np.ndarray, at: float, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Cut a four-cornered side window by an upright pillar."""
    rear_low, rear_high, front_high, front_low = window
    cut = [
        (at - rear_low[2]) / (front_low[2] - rear_low[2]),
        (at - rear_high[2]) / (front_high[2] - rear_high[2]),
    ]
    low = rear_low + (front_low - rear_low) * np.clip(cut[0], 0.1, 0.9)
    high = rear_high + (front_high - rear_high) * np.clip(cut[1], 0.1, 0.9)
    step = np.array([0, 0, gap])
    return (
        np.array([rear_low, rear_high, high - step, low - step]),
        np.array([low + step, high + step, front_high, front_low]),
    )
