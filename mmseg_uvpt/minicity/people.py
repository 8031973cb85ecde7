"""People on foot, bicycles, motorcycles and who rides them."""

import numpy as np

from mmseg_uvpt.minicity.palettes import Colour, pick, shade
from mmseg_uvpt.minicity.scene import Item
from mmseg_uvpt.minicity.stage import Billboard, Parts, Place, Stage, box, disc, limb

_LEAST_WIDTH = 0.42  # of a two-wheeler seen from behind


def draw_person(stage: Stage, item: Item) -> None:
    """Draw somebody standing or walking."""
    rng = np.random.default_rng(item.seed)
    board = stage.board(item.u, item.z)
    size = rng.uniform(0.9, 1.06)
    swing = rng.uniform(0.06, 0.2) * (1 + abs(np.sin(item.heading)))
    top, trousers = pick(stage.palette.tops, rng), pick(stage.palette.trousers, rng)
    skin, hair = pick(stage.palette.skin, rng), pick(stage.palette.hair, rng)
    parts: Parts = [
        (limb((-0.07, 0.88), (-swing, 0.05), 0.2, 0.13), shade(trousers, 0.85)),
        (limb((0.07, 0.88), (swing, 0.05), 0.2, 0.13), trousers),
        (box(-swing - 0.08, 0, -swing + 0.12, 0.09), (36, 32, 32)),
        (box(swing - 0.08, 0, swing + 0.12, 0.09), (36, 32, 32)),
        (limb((-0.2, 1.42), (-0.24 - swing * 0.5, 0.88), 0.13, 0.09), shade(top, 0.8)),
        (limb((0.0, 0.82), (0.0, 1.46), 0.36, 0.44), top),
        (limb((0.2, 1.42), (0.24 + swing * 0.4, 0.9), 0.13, 0.09), shade(top, 0.9)),
    ]
    if rng.random() < 0.25:
        bag = pick(stage.palette.shops, rng)
        parts.append((box(-0.16, 1.0, 0.16, 1.42), shade(bag, 0.85)))
    if rng.random() < 0.2:
        skirt = np.array([[-0.18, 0.98], [0.18, 0.98], [0.28, 0.5], [-0.28, 0.5]])
        parts.insert(5, (skirt, shade(top, 0.75)))
    parts += _head(0.0, 1.64, skin, hair)
    board.draw('person', [(points * size, colour) for points, colour in parts])


def draw_bicycle(stage: Stage, item: Item) -> None:
    """Draw a parked bicycle."""
    rng = np.random.default_rng(item.seed)
    place = Place.on(stage.street, item.u, item.z, item.heading)
    _bicycle(stage, Billboard(stage, place, _LEAST_WIDTH), rng)


def draw_motorcycle(stage: Stage, item: Item) -> None:
    """Draw a parked motorcycle."""
    rng = np.random.default_rng(item.seed)
    place = Place.on(stage.street, item.u, item.z, item.heading)
    _motorcycle(stage, Billboard(stage, place, _LEAST_WIDTH), rng)


def draw_bike_rider(stage: Stage, item: Item) -> None:
    """Draw a cyclist: the bicycle, then the rider on it."""
    _ride(stage, item, _bicycle, seat=(-0.22, 0.98), pedal=(0.02, 0.24), bar=(0.42, 1.02))


def draw_motor_rider(stage: Stage, item: Item) -> None:
    """Draw a motorcyclist."""
    _ride(stage, item, _motorcycle, seat=(-0.2, 0.86), pedal=(0.1, 0.32), bar=(0.5, 1.02))


def _ride(
    stage: Stage, item: Item, vehicle: callable, seat: tuple, pedal: tuple, bar: tuple
) -> None:
    rng = np.random.default_rng(item.seed)
    place = Place.on(stage.street, item.u, item.z, item.heading + np.pi / 2)
    board = Billboard(stage, place, _LEAST_WIDTH)
    vehicle(stage, board, rng)
    top, trousers = pick(stage.palette.tops, rng), pick(stage.palette.trousers, rng)
    shoulder = (seat[0] + 0.3, seat[1] + 0.52)
    knee = (seat[0] + 0.38, seat[1] - 0.22)
    wide = 1.0 / max(abs(board.along), 0.6)
    parts: Parts = [
        (limb(seat, knee, 0.2, 0.16), shade(trousers, 0.9)),
        (limb(knee, pedal, 0.16, 0.12), trousers),
        (limb(seat, shoulder, 0.36 * wide, 0.42 * wide), top),
        (limb(shoulder, bar, 0.14 * wide, 0.1 * wide), shade(top, 0.85)),
    ]
    helmet = pick(stage.palette.shops, rng)
    skin = pick(stage.palette.skin, rng)
    parts += _head(shoulder[0] + 0.08, shoulder[1] + 0.2, skin, helmet, wide)
    board.draw('rider', parts)


def _bicycle(stage: Stage, board: Billboard, rng: np.random.Generator) -> None:
    frame = pick(stage.palette.cycles, rng)
    hubs = ((-0.52, 0.34), (0.52, 0.34))
    bars = [
        [(-0.52, 0.34), (0.0, 0.3), (-0.2, 0.8), (-0.52, 0.34)],
        [(0.0, 0.3), (0.4, 0.78), (-0.18, 0.76)],
        [(0.52, 0.34), (0.4, 0.95)],
    ]
    solid = np.array([(-0.5, 0.34), (0.5, 0.34), (0.42, 0.86), (-0.22, 0.86)])
    extras = [
        limb((-0.32, 0.94), (-0.08, 0.94), 0.09, 0.06),
        limb((0.3, 1.02), (0.52, 1.0), 0.07, 0.07),
    ]
    wheels = [board.pixels(disc(*hub, 0.35)) for hub in hubs]
    outlines = [*wheels, board.pixels(solid), *(board.pixels(extra) for extra in extras)]
    stage.canvas.claim('bicycle', outlines, board.depth)
    width = board.scale * 0.05
    for wheel in wheels:
        stage.canvas.stroke(wheel, stage.palette.tyre, width, closed=True)
    for bar in bars:
        stage.canvas.stroke(board.pixels(np.array(bar)), frame, width)
    stage.canvas.paint(outlines[3:], stage.palette.tyre)


def _motorcycle(stage: Stage, board: Billboard, rng: np.random.Generator) -> None:
    paint, tyre = pick(stage.palette.cycles, rng), stage.palette.tyre
    parts: Parts = [
        (disc(-0.65, 0.32, 0.32), tyre),
        (disc(0.68, 0.32, 0.32), tyre),
        (disc(-0.65, 0.32, 0.16), (140, 142, 146)),
        (disc(0.68, 0.32, 0.16), (140, 142, 146)),
        (np.array([(-0.5, 0.3), (0.3, 0.25), (0.45, 0.6), (-0.5, 0.6)]), (72, 74, 78)),
        (
            np.array(
                [(-0.9, 0.72), (-0.1, 0.66), (0.5, 0.72), (0.36, 0.94), (0.0, 0.92), (-0.8, 0.86)]
            ),
            paint,
        ),
        (limb((0.68, 0.34), (0.42, 0.98), 0.1, 0.08), (96, 98, 102)),
        (limb((-0.7, 0.86), (-0.05, 0.88), 0.12, 0.12), (30, 30, 32)),
        (np.array([(0.42, 0.8), (0.62, 0.8), (0.5, 1.12), (0.38, 1.1)]), shade(paint, 0.8)),
        (disc(-0.92, 0.74, 0.07, 8), (206, 28, 30)),
    ]
    board.draw('motorcycle', parts)


def _head(x: float, y: float, skin: Colour, hair: Colour, wide: float = 1.0) -> Parts:
    face, cap = disc(x, y, 0.115, 12, 1.15), disc(x, y + 0.04, 0.125, 12, 0.95)
    for outline in (face, cap):
        outline[:, 0] = x + (outline[:, 0] - x) * wide
    cap[:, 1] = np.maximum(cap[:, 1], y + 0.03)
    return [(face, skin), (cap, hair)]
