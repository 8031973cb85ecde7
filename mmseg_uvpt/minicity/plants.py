"""Trees, bushes and hedges."""

import numpy as np

from mmseg_uvpt.minicity.palettes import pick, shade
from mmseg_uvpt.minicity.scene import Item
from mmseg_uvpt.minicity.stage import Billboard, Stage, box, disc, limb


def draw_tree(stage: Stage, item: Item) -> None:
    """Draw a trunk with branches and a crown of leaf clusters, lighter towards the sun."""
    rng = np.random.default_rng(item.seed)
    board = stage.board(item.u, item.z)
    height = item.height
    crown_at = height * rng.uniform(0.6, 0.68)
    thick = 0.05 * height * rng.uniform(0.7, 1.1)
    fork = crown_at - height * 0.15
    wood = [limb((0, -0.1), (0, crown_at), thick, thick * 0.6)]
    wood += [
        limb((0, fork - 0.3), (side * height * 0.16, crown_at + height * 0.05), thick * 0.5, 0.06)
        for side in (-1, 1)
    ]
    spread = np.array([height * 0.27, height * 0.22])
    clusters = int(np.clip(board.scale * height * 0.25, 6, 17))
    _leafy(stage, board, wood, np.array([0.0, crown_at + height * 0.1]), spread, clusters, rng)


def draw_bush(stage: Stage, item: Item) -> None:
    """Draw a bush."""
    rng = np.random.default_rng(item.seed)
    board = stage.board(item.u, item.z)
    size = rng.uniform(0.8, 1.7)
    _leafy(stage, board, [], np.array([0.0, size * 0.55]), np.array([size, size * 0.5]), 9, rng)


def draw_far_tree(stage: Stage, item: Item) -> None:
    """Draw a wood of the skyline."""
    rng = np.random.default_rng(item.seed)
    board = stage.far_board(item.u, item.z)
    stems = [box(-9, -8, 9, item.height * 0.4)]
    middle, spread = np.array([0.0, item.height * 0.45]), np.array([10.0, item.height * 0.35])
    _leafy(stage, board, stems, middle, spread, 12, rng, leafy_stems=True)


def draw_hedge(stage: Stage, item: Item) -> None:
    """Draw a clipped hedge with an uneven top."""
    rng = np.random.default_rng(item.seed)
    z = np.linspace(max(item.z, 0.9), item.z + item.length, 9)
    top = item.height * (0.8 + 0.12 * rng.random(9))
    foot, crest = stage.pixels(item.u, -0.2, z), stage.pixels(item.u, top, z)
    outline = np.concatenate([foot, crest[::-1]])
    leaves = pick(stage.palette.leaves, rng)
    stage.canvas.claim('vegetation', [outline], float(z.mean()))
    stage.canvas.paint([outline], shade(leaves, 0.8))
    ridge = np.concatenate([stage.pixels(item.u, top * 0.8, z), crest[::-1]])
    stage.canvas.paint([ridge], leaves)


def _leafy(
    stage: Stage,
    board: Billboard,
    stems: list[np.ndarray],
    middle: np.ndarray,
    spread: np.ndarray,
    clusters: int,
    rng: np.random.Generator,
    leafy_stems: bool = False,
) -> None:
    """Paint stems and a heap of leaf clusters: dark and large below, light and small above."""
    palette = stage.palette
    leaves = pick(palette.leaves, rng)
    angle, radius = rng.uniform(0, 2 * np.pi, clusters), np.sqrt(rng.random(clusters))
    centres = middle + np.stack([np.cos(angle), np.sin(angle)], -1) * radius[:, None] * spread
    sizes = spread.mean() * rng.uniform(0.38, 0.6, clusters)
    body = disc(*middle, spread[0] * 0.8, 16, spread[1] / spread[0])
    bumpy = rng.uniform(0.86, 1.12, (clusters, 13, 1))
    blobs = np.stack([disc(0, 0, size, 13) for size in sizes]) * bumpy + centres[:, None]
    outlines = [*(board.pixels(shape) for shape in [*stems, body]), *board.pixels(blobs)]
    stage.canvas.claim('vegetation', outlines, board.depth)
    wood = palette.trunk if not leafy_stems else shade(leaves, 0.72)
    for stem in outlines[: len(stems)]:
        stage.canvas.paint([stem], shade(wood, 0.9))
    stage.canvas.paint([outlines[len(stems)]], shade(leaves, 0.66))
    side = np.sign(stage.sun[0]) * (0.25 + stage.shadows)
    rise = (centres - middle) / spread
    tone = 0.86 + 0.14 * rise[:, 1] + 0.12 * side * rise[:, 0] + rng.normal(0, 0.03, clusters)
    for k in np.argsort(centres[:, 1]):
        stage.canvas.paint([outlines[len(stems) + 1 + k]], shade(leaves, tone[k] * 0.86))
    if board.scale * sizes.max() < 3:
        return
    nudge = np.array([0.1 * side, 0.18]) * sizes[:, None]
    lights = board.pixels((blobs - centres[:, None]) * 0.62 + (centres + nudge)[:, None])
    for k in np.argsort(centres[:, 1]):
        stage.canvas.paint([lights[k]], shade(leaves, tone[k] * 1.06))
