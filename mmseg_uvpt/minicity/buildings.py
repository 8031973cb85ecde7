"""Houses along the road and the skyline at its end."""

import numpy as np

from mmseg_uvpt.minicity.camera import NEAR
from mmseg_uvpt.minicity.palettes import Colour, mix, pick, shade
from mmseg_uvpt.minicity.scene import Item
from mmseg_uvpt.minicity.stage import Billboard, Place, Stage, box

_DEEP = 11.0  # metres from the street to a house's back
_EAVES = 2.6  # metres from a wall to where its roof ends
_STOREY = 3.1


def draw_building(stage: Stage, item: Item) -> None:
    """Draw a house: its street front and the end that faces the camera."""
    rng = np.random.default_rng(item.seed)
    palette = stage.palette
    colour = pick(palette.facades, rng)
    townhouse = rng.random() < stage.look.townhouses
    rise = float(rng.uniform(1.8, 3.6)) if townhouse else 0.0
    start, end = max(item.z, NEAR), item.z + item.length
    out = np.sign(item.u)
    corners = [stage.street.world(item.u, 0.0, z) for z in (start, end)]
    along = corners[1] - corners[0]
    out_normal = np.array([-along[2], 0.0, along[0]]) * out
    out_normal /= np.linalg.norm(out_normal) + 1e-9
    front = shade(colour, stage.light(out_normal))
    back = shade(colour, stage.light(np.array([0.0, 0.0, -1.0])) * 0.94)
    _end_wall(stage, item, corners[0], back, rise, rng)
    _front(stage, item, corners, front, rise, rng)


def draw_far_building(stage: Stage, item: Item) -> None:
    """Draw a house of the skyline."""
    rng = np.random.default_rng(item.seed)
    palette = stage.palette
    board = stage.far_board(item.u, item.z)
    half = rng.uniform(6, 15)
    wall = board.pixels(box(-half, -6, half, item.height))
    colour = pick(palette.facades, rng)
    outlines = [wall]
    if rng.random() < stage.look.townhouses:
        roof = [[-half, item.height], [half, item.height], [half - 2, item.height + 3.5]]
        outlines.append(board.pixels(np.array([*roof, [2 - half, item.height + 3.5]])))
    stage.canvas.claim('building', outlines, board.depth)
    stage.canvas.paint([wall], shade(colour, 0.86))
    stage.canvas.paint(outlines[1:], pick(palette.roofs, rng))
    columns, rows = np.arange(-half + 1.2, half - 1.5, 2.8), np.arange(1.0, item.height - 2, 3.2)
    panes = [board.pixels(box(x, y, x + 1.3, y + 1.5)) for x in columns for y in rows]
    stage.canvas.paint(panes, mix(palette.glass[0], colour, 0.25))


def _front(
    stage: Stage,
    item: Item,
    corners: list[np.ndarray],
    colour: Colour,
    rise: float,
    rng: np.random.Generator,
) -> None:
    """Draw the wall along the street with its storeys; ``rise`` is the roof's height or 0."""
    townhouse = rise > 0
    palette, canvas = stage.palette, stage.canvas

    def wall(rectangles: np.ndarray) -> np.ndarray:
        """Project (K, 4) rectangles (start, bottom, end, top), metres on the wall."""
        a, y0, b, y1 = np.asarray(rectangles, float).T
        across = np.stack([a, b, b, a], -1) / item.length
        up = np.stack([y0, y0, y1, y1], -1)
        points = corners[0] + (corners[1] - corners[0]) * across[..., None]
        points = points + up[..., None] * np.array([0.0, 1.0, 0.0])
        return stage.camera.project(points)

    outline = wall([[0, 0, item.length, item.height]])[0]
    left, right = outline[0, 0], outline[1, 0]
    near, far = 1 / max(corners[0][2], NEAR), 1 / corners[1][2]

    def depth(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        share = np.clip((columns - left) / (right - left + 1e-9), 0, 1)
        return np.broadcast_to(1 / (near + (far - near) * share), (rows.shape[0], columns.shape[1]))

    parts = [outline]
    if townhouse:
        ridge = np.stack([corners[0], corners[1]])
        ridge = ridge + np.array([np.sign(item.u) * _EAVES, item.height + rise, 0.0])
        eaves = np.stack([corners[1], corners[0]]) + np.array([0.0, item.height, 0.0])
        parts.append(stage.camera.project(np.concatenate([ridge, eaves])))
    canvas.claim('building', parts, depth)
    if townhouse:
        canvas.paint(parts[1:], shade(pick(palette.roofs, rng), 1.0))
    canvas.paint([outline], colour)

    pixels = abs(right - left)
    if pixels < 5:
        return
    storeys = max(1, int((item.height - 3.8) // _STOREY))
    _ground_floor(stage, item, wall, colour, rng)
    count = max(1, int(item.length // (2.3 if townhouse else 3.0)))
    pitch = item.length / count
    wide = pitch * (0.44 if townhouse else rng.uniform(0.55, 0.8))
    tall = 1.75 if townhouse else 1.45
    starts = (np.arange(count) + 0.5) * pitch - wide / 2
    floors = 4.4 + np.arange(storeys) * _STOREY
    floors = floors[floors + tall < item.height - 0.3]
    if not len(floors):
        return
    grid = np.stack(np.meshgrid(starts, floors, indexing='ij'), -1).reshape(-1, 2)
    panes = np.concatenate([grid, grid + np.array([wide, tall])], -1)
    frame = mix(palette.trim, colour, 0.35)
    if pixels > 25:
        canvas.paint(wall(panes + np.array([-0.14, -0.2, 0.14, 0.14])), frame)
    choice = rng.integers(0, len(palette.glass), len(panes))
    first = int(rng.integers(len(palette.glass)))
    choice[rng.random(len(panes)) < 0.7] = first
    for k, glass in enumerate(palette.glass):
        canvas.paint(wall(panes[choice == k]) if (choice == k).any() else [], glass)
    if pixels > 40 and townhouse:
        middle = (panes[:, 0] + panes[:, 2]) / 2
        bars = np.stack([middle - 0.05, panes[:, 1], middle + 0.05, panes[:, 3]], -1)
        canvas.paint(wall(bars), frame)
    bands = [[0, item.height - 0.45, item.length, item.height]]
    if townhouse:
        bands.append([0, 3.75, item.length, 4.0])
    elif rng.random() < 0.5:
        bands += [[0, y - 0.75, item.length, y - 0.45] for y in floors[1:]]
    canvas.paint(wall(bands), mix(palette.trim, colour, 0.5))


def _ground_floor(
    stage: Stage, item: Item, wall: callable, colour: Colour, rng: np.random.Generator
) -> None:
    """Draw shops with signs and awnings, or a plinth, windows and a door."""
    palette, canvas = stage.palette, stage.canvas
    glass = pick(palette.glass, rng)
    length = item.length
    if rng.random() < 0.5:
        count = max(1, int(length // 5))
        pitch = length / count
        starts = np.arange(count) * pitch
        canvas.paint(wall([[0, 0, length, 3.7]]), shade(colour, 0.72))
        panes = [[s + 0.3, 0.5, s + pitch - 0.3, 2.7] for s in starts]
        canvas.paint(wall(panes), shade(glass, 0.9))
        for s in starts:
            sign = wall([[s + 0.15, 2.85, s + pitch - 0.15, 3.5]])
            canvas.paint(sign, pick(palette.shops, rng))
            canvas.paint(wall([[s + pitch * 0.25, 3.08, s + pitch * 0.7, 3.28]]), palette.trim)
        return
    canvas.paint(wall([[0, 0, length, 0.8]]), shade(colour, 0.7))
    starts = np.arange(0.6, length - 1.6, 2.8)
    if not len(starts):
        return
    door = int(rng.integers(len(starts)))
    panes = [[s, 1.2, s + 1.3, 2.9] for k, s in enumerate(starts) if k != door]
    canvas.paint(wall(panes) if panes else [], glass)
    entrance = shade(palette.trunk, 0.9)
    canvas.paint(wall([[starts[door], 0, starts[door] + 1.3, 2.6]]), entrance)


def _end_wall(
    stage: Stage,
    item: Item,
    corner: np.ndarray,
    colour: Colour,
    rise: float,
    rng: np.random.Generator,
) -> None:
    """Draw the wall that faces the camera, gable included."""
    if corner[2] < 2.0:
        return
    out = float(np.sign(item.u))
    board = Billboard(stage, Place(corner, 0.0))
    walls = [box(0, -0.1, out * _DEEP, item.height)]
    if rise:
        across = out * np.array([0.0, _EAVES, _DEEP - _EAVES, _DEEP])
        up = item.height + np.array([0.0, rise, rise, 0.0])
        walls.append(np.stack([across, up], axis=-1))
    board.draw('building', [(wall, colour) for wall in walls])
    if rng.random() < 0.6:
        rows = np.arange(1.4, item.height - 2, _STOREY)
        panes = [
            board.pixels(box(out * x, y, out * (x + 1.2), y + 1.5))
            for x in (2.2, 6.6)
            for y in rows
        ]
        glass = stage.palette.glass[0]
        stage.canvas.paint(panes, glass)
