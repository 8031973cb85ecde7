"""Poles, lamps, signs, traffic lights, walls, fences, bins."""

import numpy as np

from mmseg_uvpt.minicity.camera import NEAR
from mmseg_uvpt.minicity.palettes import Colour, pick, shade
from mmseg_uvpt.minicity.scene import Item
from mmseg_uvpt.minicity.stage import Stage, box, disc, limb

_LAMPLIGHT: Colour = (255, 236, 190)
_LAMPS: tuple[Colour, ...] = ((236, 40, 36), (250, 196, 40), (60, 220, 110))


def draw_lamp(stage: Stage, item: Item) -> None:
    """Draw a street lamp that reaches over the road."""
    board = stage.board(item.u, item.z)
    rng = np.random.default_rng(item.seed)
    tall, reach = rng.uniform(6.5, 8.5), -item.heading * rng.uniform(0.9, 1.8)
    grey = stage.palette.pole
    parts = [
        (limb((0, -0.1), (0, tall), 0.2, 0.13), grey),
        (limb((0, tall - 0.05), (reach, tall + 0.3), 0.11, 0.09), grey),
        (
            limb((reach * 0.8, tall + 0.2), (reach * 1.5, tall + 0.3), 0.16, 0.2),
            _LAMPLIGHT if stage.look.lamps else shade(grey, 1.25),
        ),
    ]
    board.draw('pole', parts)


def draw_sign(stage: Stage, item: Item) -> None:
    """Draw a traffic sign on its pole: warning, ban, order, priority or information."""
    board = stage.board(item.u, item.z)
    rng = np.random.default_rng(item.seed)
    y, size = rng.uniform(2.2, 2.7), rng.uniform(0.36, 0.46)
    board.draw('pole', [(box(-0.045, -0.1, 0.045, y + 0.3), stage.palette.pole)])
    kind = int(rng.integers(6))
    red, blue, white, yellow = (206, 30, 36), (24, 84, 180), (240, 240, 238), (246, 200, 30)
    triangle = disc(0, y, size, 3) @ np.array([[0.0, 1.0], [-1.0, 0.0]]) + (y, y)
    diamond = disc(0, y, size, 4)
    plate = box(-size, y - size * 0.8, size, y + size * 0.8)
    wide = box(-1.1, y + 0.2, 1.1, y + 1.2)
    outline, rim, inner = (
        (triangle, red, white),
        (disc(0, y, size), red, white),
        (disc(0, y, size), blue, blue),
        (diamond, white, yellow),
        (plate, blue, blue),
        (wide, yellow, yellow),
    )[kind]
    middle = outline.mean(0)
    shapes = [board.pixels(s) for s in (outline, middle + (outline - middle) * 0.72)]
    stage.canvas.claim('traffic sign', shapes[:1], board.depth)
    stage.canvas.paint(shapes[:1], rim)
    stage.canvas.paint(shapes[1:], inner)
    ink, (x, y) = white if inner == blue else (30, 30, 30), middle
    if kind == 5:
        bars = [box(-0.9, y + t, 0.35 - 0.3 * (t < 0), y + t + 0.16) for t in (-0.3, 0.14)]
        arrow = np.array([(0.5, y - 0.1), (0.9, y - 0.1), (0.7, y + 0.35)])
        stage.canvas.paint([board.pixels(shape) for shape in (*bars, arrow)], ink)
    elif kind != 3:
        symbol = box(x - size * 0.12, y - size * 0.4, x + size * 0.12, y + size * 0.4)
        stage.canvas.paint([board.pixels(symbol)], ink)


def draw_traffic_light(stage: Stage, item: Item) -> None:
    """Draw a traffic light, sometimes with a second one on an arm over the road."""
    board = stage.board(item.u, item.z)
    rng = np.random.default_rng(item.seed)
    lit = int(rng.choice([0, 0, 1, 2, 2]))
    arm = rng.random() < 0.4
    side = -float(np.sign(item.u))
    pole = [box(-0.07, -0.1, 0.07, 5.6 if arm else 3.4)]
    spots = [(0.0, 2.35)]
    if arm:
        pole.append(limb((0, 5.5), (side * 4.0, 5.6), 0.14, 0.1))
        spots.append((side * 3.6, 4.75))
    board.draw('pole', [(part, stage.palette.pole) for part in pole])
    for x, y in spots:
        case = box(x - 0.2, y, x + 0.2, y + 1.1)
        board.draw('traffic light', [(case, stage.palette.signal_box)])
        for k, colour in enumerate(_LAMPS):
            glow = colour if k == lit else shade(colour, 0.28)
            stage.canvas.paint([board.pixels(disc(x, y + 0.9 - 0.34 * k, 0.135, 12))], glow)


def draw_bin(stage: Stage, item: Item) -> None:
    """Draw a waste bin (label "static", which no class of the 19 holds)."""
    board = stage.board(item.u, item.z)
    body = np.array([(-0.25, 0), (0.25, 0), (0.3, 0.9), (-0.3, 0.9)])
    lid = box(-0.33, 0.88, 0.33, 1.0)
    board.draw('static', [(body, (70, 96, 76)), (lid, (46, 60, 50))])


def draw_wall(stage: Stage, item: Item) -> None:
    """Draw a stretch of wall along the road, plastered or of brick, with a coping."""
    seed = np.random.default_rng([round(item.height * 1000)])
    colour = stage.palette.brick if seed.random() < 0.4 else stage.palette.wall
    start, end = max(item.z, NEAR), item.z + item.length
    light = stage.light(np.array([-np.sign(item.u), 0.0, 0.0]))
    z = np.array([start, end])
    foot, top = stage.pixels(item.u, 0.0, z), stage.pixels(item.u, item.height, z)
    coping = stage.pixels(item.u, item.height - 0.16, z)
    outline = np.concatenate([foot, top[::-1]])
    stage.canvas.claim('wall', [outline], (start + end) / 2)
    stage.canvas.paint([outline], shade(colour, light))
    for share in (0.3, 0.55, 0.8):
        course = stage.pixels(item.u, item.height * share, z)
        stage.canvas.stroke(course, shade(colour, light * 0.9), 0)
    stage.canvas.paint([np.concatenate([coping, top[::-1]])], shade(colour, light * 1.18))


def draw_fence(stage: Stage, item: Item) -> None:
    """Draw a stretch of fence: posts, rails and bars; what shows between them is fence too."""
    seed = np.random.default_rng([round(item.height * 1000)])
    colour = pick(stage.palette.fences, seed)
    boards = seed.random() < 0.4
    start, end = max(item.z, NEAR), item.z + item.length
    z = np.array([start, end])
    foot, top = stage.pixels(item.u, -0.05, z), stage.pixels(item.u, item.height, z)
    outline = np.concatenate([foot, top[::-1]])
    stage.canvas.claim('fence', [outline], (start + end) / 2)
    light = stage.light(np.array([-np.sign(item.u), 0.0, 0.0]))
    scale = stage.camera.focal / max(start, 2.0)
    step = 0.24 if boards else 0.16
    bars = np.arange(start, end, max(step, 1.2 / scale * start / 8))
    wide = step * 0.78 if boards else 0.035
    uprights = np.stack(
        [
            stage.pixels(item.u, 0.0, bars),
            stage.pixels(item.u, 0.0, bars + wide),
            stage.pixels(item.u, item.height * 0.97, bars + wide),
            stage.pixels(item.u, item.height * 0.97, bars),
        ],
        axis=1,
    )
    stage.canvas.paint(uprights, shade(colour, light))
    for share in (0.18, 0.88):
        low = stage.pixels(item.u, item.height * share, z)
        high = stage.pixels(item.u, item.height * share + 0.09, z)
        stage.canvas.paint([np.concatenate([low, high[::-1]])], shade(colour, light * 0.9))
    post = stage.pixels(item.u, np.array([0, item.height * 1.04]), np.full(2, start))
    stage.canvas.stroke(post, shade(colour, light * 0.8), 0.1 * scale)
