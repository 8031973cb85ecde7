"""One frame of MiniCity."""

from collections.abc import Callable

import numpy as np

from mmseg_uvpt.minicity import buildings, furniture, people, plants, vehicles
from mmseg_uvpt.minicity.camera import Camera, Street
from mmseg_uvpt.minicity.canvas import Canvas
from mmseg_uvpt.minicity.ground import draw_ground, draw_lamplight, draw_shadows, draw_sky
from mmseg_uvpt.minicity.looks import Look, Range
from mmseg_uvpt.minicity.palettes import shade
from mmseg_uvpt.minicity.photograph import photograph
from mmseg_uvpt.minicity.scene import Item, Planner
from mmseg_uvpt.minicity.stage import Stage

HEIGHT, WIDTH = 256, 512

DRAWERS: dict[str, Callable[[Stage, Item], None]] = {
    'building': buildings.draw_building,
    'far_building': buildings.draw_far_building,
    'tree': plants.draw_tree,
    'far_tree': plants.draw_far_tree,
    'bush': plants.draw_bush,
    'hedge': plants.draw_hedge,
    'car': vehicles.draw_car,
    'truck': vehicles.draw_truck,
    'bus': vehicles.draw_bus,
    'train': vehicles.draw_train,
    'person': people.draw_person,
    'bicycle': people.draw_bicycle,
    'motorcycle': people.draw_motorcycle,
    'bike_rider': people.draw_bike_rider,
    'motor_rider': people.draw_motor_rider,
    'lamp': furniture.draw_lamp,
    'sign': furniture.draw_sign,
    'traffic_light': furniture.draw_traffic_light,
    'bin': furniture.draw_bin,
    'wall': furniture.draw_wall,
    'fence': furniture.draw_fence,
}


def render(
    seed: int, index: int, look: Look
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, np.ndarray]]]:
    """Render frame ``index`` of a city; it depends on nothing but the three arguments.

    Street, camera and light are drawn from separate generators, so that the same seed and index
    show the same street in every look.

    Args:
        seed: of the city, 0 or more.
        index: of the frame, 0 or more.
        look: the domain's appearance.

    Returns:
        image: (256, 512, 3) uint8 RGB.
        label_ids: (256, 512) uint8 Cityscapes label ids.
        polygons: (label name, (N, 2) int32 columns and rows) in painter's order.
    """
    streams = [np.random.default_rng([seed, index, stream]) for stream in range(3)]
    planning, shooting, light = streams
    scene = Planner(planning).plan()
    stage = _stage(look, planning, shooting)
    draw_sky(stage, planning)
    draw_ground(stage, scene, planning)
    draw_shadows(stage, scene)
    if look.lamps:
        draw_lamplight(stage, scene)
    for item in sorted(scene.items, key=lambda item: item.order):
        if item.kind not in look.absent:
            DRAWERS[item.kind](stage, item)
    if look.hood:
        _draw_hood(stage)
    canvas = stage.canvas
    image = photograph(canvas.picture(), canvas.label_ids, canvas.depth, stage.camera, look, light)
    return image, canvas.label_ids, canvas.polygons


def _stage(look: Look, planning: np.random.Generator, shooting: np.random.Generator) -> Stage:
    bend = planning.choice([0.0, 1.0]) * planning.normal(0, 1 / 260)
    rise = planning.uniform(-0.4, 2.0)
    azimuth = planning.uniform(0.5, np.pi - 0.5) * planning.choice([-1, 1])
    steep = planning.uniform(0.6, 1.1)

    def drawn(limits: Range) -> float:
        return float(shooting.uniform(*limits))

    yaw = drawn(look.yaw)
    camera = Camera(
        WIDTH,
        HEIGHT,
        drawn(look.focal) * WIDTH,
        drawn(look.horizon) * HEIGHT,
        drawn(look.eye_height),
    )
    flat = np.cos(steep)
    sun = np.array([flat * np.sin(azimuth), np.sin(steep), flat * np.cos(azimuth)])
    street = Street(yaw, float(bend), float(rise))
    livery = int(planning.integers(100))
    return Stage(Canvas(HEIGHT, WIDTH), camera, street, look, sun, drawn(look.sun), livery)


def _draw_hood(stage: Stage) -> None:
    """Draw the bonnet of the car that carries the camera."""
    canvas = stage.canvas
    share = np.linspace(0, 1, 25)
    arch = 1 - (2 * share - 1) ** 4
    rows = canvas.height * (1 - stage.look.hood * (0.35 + 0.65 * arch))
    top = np.stack([share * canvas.width, rows], -1)
    outline = np.concatenate([top, [[canvas.width, canvas.height + 2], [0, canvas.height + 2]]])
    canvas.claim('ego vehicle', [outline], 1.0)
    canvas.paint([outline], (52, 56, 58))
    canvas.stroke(top, shade((52, 56, 58), 1.9), 1.0)
