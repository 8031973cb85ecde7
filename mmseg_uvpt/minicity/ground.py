"""Sky, road, markings, sidewalks, grass, and the shadows that fall on them."""

import cv2
import numpy as np

from mmseg_uvpt.minicity.camera import FAR, NEAR
from mmseg_uvpt.minicity.canvas import OVERSAMPLING
from mmseg_uvpt.minicity.palettes import mix, shade
from mmseg_uvpt.minicity.scene import LENGTHS, Scene, Side
from mmseg_uvpt.minicity.stage import Stage, box, disc

_SKY_DEPTH = 150.0  # metres of haze between the camera and the sky


def draw_sky(stage: Stage, rng: np.random.Generator) -> None:
    """Fill the frame with sky: a gradient and a few clouds."""
    canvas, palette = stage.canvas, stage.palette
    rows = np.arange(canvas.height * OVERSAMPLING)
    share = np.clip(rows / (stage.camera.horizon * OVERSAMPLING), 0, 1)[:, None]
    gradient = np.array(palette.sky_top) * (1 - share) + np.array(palette.sky_bottom) * share
    canvas.colours[:] = gradient[:, None].round().astype(np.uint8)
    frame = box(0, 0, canvas.width, canvas.height)
    canvas.claim('sky', [frame], _SKY_DEPTH)
    for _ in range(int(rng.integers(2, 7))):
        column, row = rng.uniform(0, canvas.width), rng.uniform(0, stage.camera.horizon * 0.75)
        size = rng.uniform(10, 34)
        for _ in range(int(rng.integers(4, 9))):
            puff = disc(
                column + rng.normal(0, size), row + rng.normal(0, size / 6), size * 0.5, 18, 0.4
            )
            tone = mix(palette.cloud, palette.sky_bottom, rng.uniform(0.0, 0.35))
            canvas.paint([puff], tone)


def draw_ground(stage: Stage, scene: Scene, rng: np.random.Generator) -> None:
    """Draw all flat surfaces, from the camera to the horizon."""
    palette = stage.palette
    table = stage.camera.ground_depth(stage.street)

    def depth(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
        near = table[np.clip(rows.astype(int), 0, len(table) - 1)]
        return np.broadcast_to(near, (rows.shape[0], columns.shape[1]))

    def surface(label: str, outline: np.ndarray, colour: tuple) -> None:
        stage.canvas.claim(label, [outline], depth)
        stage.canvas.paint([outline], colour)

    soil = 'sidewalk' if 'terrain' in stage.look.absent else 'terrain'
    green = palette.terrain if soil == 'terrain' else shade(palette.sidewalk, 0.9)
    surface('sidewalk', _strip(stage, -250, 250, NEAR, FAR), shade(palette.sidewalk, 0.92))
    for sign, start, end in scene.parks:
        side = scene.left if sign < 0 else scene.right
        inner, outer = sign * side.frontage, sign * 120.0
        surface(soil, _strip(stage, inner, outer, start, end), shade(green, 0.94))
    for side in (scene.left, scene.right):
        _side(stage, side, surface, soil, green)
    road = _strip(stage, -scene.left.edge, scene.right.edge, NEAR, FAR)
    surface('road', road, palette.road)
    if scene.crossing:
        surface('road', _strip(stage, -120, 120, *scene.crossing), palette.road)
    _wear(stage, scene, rng)
    _markings(stage, scene)


def draw_shadows(stage: Stage, scene: Scene) -> None:
    """Darken the ground where things stand (contact) and where they keep the sun away."""
    canvas = stage.canvas
    contact = np.zeros(canvas.colours.shape[:2], np.uint8)
    cast = np.zeros_like(contact)
    reach = -stage.sun[[0, 2]] / max(stage.sun[1], 0.2)
    for item in scene.items:
        if item.kind in LENGTHS:
            half, long = 0.95 if item.kind == 'car' else 1.3, LENGTHS[item.kind] / 2 + 0.1
            if abs(np.sin(item.heading)) > 0.7:
                half, long = long, half
            quad = box(item.u - half, item.z - long, item.u + half, item.z + long)
            _fill(stage, contact, quad)
            _fill(stage, cast, np.concatenate([quad[:2], quad[2:] + reach * 0.8]))
            _fill(stage, cast, quad + reach * 0.9)
        elif item.kind in ('person', 'bike_rider', 'motor_rider', 'bicycle', 'motorcycle', 'bin'):
            _fill(stage, contact, disc(item.u, item.z, 0.35, 10))
            end = np.array([item.u, item.z]) + reach * 1.4
            _fill(stage, cast, np.array([[item.u - 0.2, item.z], [item.u + 0.2, item.z], end]))
        elif item.kind == 'tree':
            size = item.height * 0.32
            middle = np.array([item.u, item.z]) + reach * item.height * 0.6
            _fill(stage, cast, disc(*middle, size, 14))
            _fill(stage, contact, disc(item.u, item.z, 0.5, 10))
        elif item.kind == 'building':
            foot = np.array([[item.u, item.z], [item.u, item.z + item.length]])
            _fill(stage, cast, np.concatenate([foot, foot[::-1] + reach * item.height * 0.8]))
    sigma = stage.look.shadow_blur * OVERSAMPLING
    top = max(0, int(stage.camera.horizon * OVERSAMPLING) - 40)
    dark = np.maximum(
        cv2.GaussianBlur(cast[top:], (0, 0), sigma) * np.float32(stage.shadows * 0.75 / 255),
        cv2.GaussianBlur(contact[top:], (0, 0), sigma) * np.float32(0.55 / 255),
    )
    ground = canvas.colours[top:]
    ground[:] = (ground * (1 - dark[..., None])).astype(np.uint8)


def draw_lamplight(stage: Stage, scene: Scene) -> None:
    """Lighten the ground below street lamps."""
    canvas = stage.canvas
    light = np.zeros(canvas.colours.shape[:2], np.uint8)
    for item in scene.items:
        if item.kind == 'lamp':
            _fill(stage, light, disc(item.u - 1.5 * item.heading, item.z, 4.0))
    light = cv2.GaussianBlur(light, (0, 0), 8 * OVERSAMPLING) * np.float32(stage.look.lamps / 255)
    lit = canvas.colours * (1 + light[..., None] * np.array([1.0, 0.86, 0.6], np.float32))
    canvas.colours[:] = np.minimum(lit, 255).astype(np.uint8)


def _strip(stage: Stage, inner: float, outer: float, start: float, end: float) -> np.ndarray:
    """Return the outline of the ground between two lines along the road."""
    z = np.geomspace(max(start, NEAR), max(end, NEAR + 0.1), 28)
    return np.concatenate([stage.pixels(inner, 0, z), stage.pixels(outer, 0, z[::-1])])


def _fill(stage: Stage, mask: np.ndarray, outline: np.ndarray) -> None:
    """Fill a shadow's outline, (u, z) metres, in a mask of the oversampled size."""
    if outline[:, 1].max() < 1.0:
        return
    outline = np.maximum(outline, (-np.inf, 1.0))
    corners = stage.pixels(outline[:, 0], 0.0, outline[:, 1])
    corners = np.clip(corners, -6000, 6000) * OVERSAMPLING
    cv2.fillPoly(mask, [corners.round().astype(np.int32)], 255)


def _side(stage: Stage, side: Side, surface: callable, soil: str, green: tuple) -> None:
    palette, s = stage.palette, side.sign
    walk = side.edge + side.verge
    outline = _strip(stage, s * walk, s * (walk + side.sidewalk), NEAR, FAR)
    surface('sidewalk', outline, palette.sidewalk)
    for z in np.arange(2.0, 40.0, 1.6):
        ends = np.array([s * walk, s * (walk + side.sidewalk)])
        stage.canvas.stroke(stage.pixels(ends, 0, z), shade(palette.sidewalk, 0.9), 0)
    if side.verge:
        surface(soil, _strip(stage, s * side.edge, s * walk, NEAR, FAR), green)
    curb = _strip(stage, s * side.edge, s * (side.edge + 0.22), NEAR, FAR)
    surface('sidewalk', curb, palette.curb)


def _wear(stage: Stage, scene: Scene, rng: np.random.Generator) -> None:
    """Wheel tracks, patches and drain covers keep the road from being one flat colour."""
    road, canvas = stage.palette.road, stage.canvas
    for lane in range(-scene.lanes_left, scene.lanes_right):
        for track in (-0.85, 0.85):
            u = lane * 3.3 + track
            canvas.paint([_strip(stage, u - 0.22, u + 0.22, NEAR, 70)], shade(road, 0.96))
    for _ in range(int(rng.integers(1, 6))):
        u, z = rng.uniform(-scene.left.edge, scene.right.edge - 2), rng.uniform(3, 40)
        patch = _strip(stage, u, u + rng.uniform(0.6, 1.8), z, z + rng.uniform(1, 6))
        canvas.paint([patch], shade(road, rng.uniform(0.86, 1.08)))
    for _ in range(int(rng.integers(0, 3))):
        lid = disc(rng.uniform(-3, 3), rng.uniform(5, 20), 0.35)
        canvas.paint([stage.pixels(lid[:, 0], 0, lid[:, 1])], shade(road, 0.7))


def _markings(stage: Stage, scene: Scene) -> None:
    canvas, colour = stage.canvas, stage.palette.marking
    spans = [(NEAR, FAR)]
    if scene.crossing:
        spans = [(NEAR, scene.crossing[0] - 5.5), (scene.crossing[1] + 1, FAR)]
    for start, end in spans:
        for u in scene.lane_lines:
            if u == scene.middle and scene.lanes_left + scene.lanes_right > 2:
                for shift in (-0.12, 0.12):
                    line = _strip(stage, u + shift - 0.06, u + shift + 0.06, start, end)
                    canvas.paint([line], colour)
                continue
            dashes = np.arange(1.0, 90.0, 6.0)
            dashes = dashes[(dashes > start) & (dashes + 3 < end)]
            canvas.paint([_strip(stage, u - 0.08, u + 0.08, z, z + 3) for z in dashes], colour)
        for u in (-scene.left.edge + 0.25, scene.right.edge - 0.25):
            canvas.paint([_strip(stage, u - 0.06, u + 0.06, start, end)], colour)
    if scene.rails:
        for u in (scene.middle - 2.37, scene.middle - 0.93):
            rail = _strip(stage, u - 0.05, u + 0.05, NEAR, FAR)
            canvas.paint([rail], shade(stage.palette.pole, 0.75))
    if scene.zebra is not None:
        bars = np.arange(-scene.left.edge + 0.5, scene.right.edge - 0.5, 1.0)
        near, far = scene.zebra, scene.zebra + 3.2
        canvas.paint([_strip(stage, u, u + 0.5, near, far) for u in bars], colour)
    if scene.crossing:
        stop = scene.crossing[0] - 5.3
        right = _strip(stage, scene.middle, scene.right.edge - 0.3, stop - 0.4, stop)
        canvas.paint([right], colour)
