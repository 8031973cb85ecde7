"""Draw the figures of README.md and docs/method.md: ``python docs/figures/method.py [FOLDER]``."""

import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('agg')

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

IMAGES = Path(__file__).resolve().parents[1] / 'images'
INK = '#26323d'
FACES = {
    'frozen': '#cfdbe6',
    'tuned': '#fbd7a8',
    'loss': '#d3e8cf',
    'labels': '#e6dbef',
    'data': '#ffffff',
}
NAMES = {'frozen': 'frozen', 'tuned': 'tuned', 'loss': 'losses', 'labels': 'labels'}
Point = tuple[float, float]


def main() -> None:
    """Draw both figures into a folder, by default docs/images."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    for name, draw in {'method': draw_method, 'interactor': draw_interactor}.items():
        figure = draw()
        figure.savefig(folder / f'{name}.png', dpi=160, metadata={'Software': None})
        plt.close(figure)


def draw_method() -> plt.Figure:
    """Return the method: frozen stages with adapters, three views, losses and label bank."""
    figure, ax = canvas(100, 57)
    draw_views(ax)
    draw_prompted_backbone(ax)
    draw_losses(ax)
    draw_labels(ax)
    draw_legend(ax, 1.5, 54.4, ('frozen', 'tuned', 'loss', 'labels'))
    return figure


def draw_views(ax: Axes) -> None:
    """Draw the three sizes of a photograph."""
    for side, bottom, name in ((2.8, 43, '1/2'), (5, 34.3, '1'), (8.4, 22.2, '2')):
        ax.add_patch(Rectangle((5.9 - side / 2, bottom), side, side, **style('data')))
        write(ax, 5.9, bottom + side / 2, name, 8)
    write(ax, 5.9, 49.5, 'photograph,\nthree views', 8)
    arrow(ax, (10.8, 36.8), (14.4, 36.8), head=False)


def draw_prompted_backbone(ax: Axes) -> None:
    """Draw generator, pyramid, four stages with their adapters, and the head."""
    panel(ax, 12.6, 20, 73, 32)
    write(ax, 14, 50.2, 'the model, run once for each view', 8, ha='left')
    arrow(ax, (14.4, 36.8), (14.4, 43), (16, 43))
    arrow(ax, (14.4, 36.8), (14.4, 29.5), (33, 29.5))
    box(ax, 16, 39.5, 8.4, 7, 'prompt\ngenerator', 'tuned', 8)
    for side, bottom in ((3.6, 38.6), (2.3, 42.9), (1.4, 45.9)):
        ax.add_patch(Rectangle((28.7 - side / 2, bottom), side, side, **style('tuned')))
    write(ax, 28.7, 37.3, 'pyramid', 7.5)
    arrow(ax, (24.4, 43), (26.6, 43))
    arrow(ax, (30.8, 43), (33.4, 43))
    for stage in range(4):
        x = 33.4 + 11.2 * stage
        box(ax, x, 39.5, 7.8, 7, f'prompt\nadapter {stage + 1}', 'tuned', 8)
        box(ax, x - 0.4, 26, 2.6, 7, 'enter', 'frozen', 7.5, rotation=90)
        box(ax, x + 3.9, 26, 5, 7, 'blocks', 'frozen', 7.5)
        write(ax, x + 2, 24, f'stage {stage + 1}', 7.5)
        arrow(ax, (x + 0.9, 33), (x + 0.9, 39.5))
        arrow(ax, (x + 6.4, 39.5), (x + 6.4, 33))
        arrow(ax, (x + 6.4, 26), (x + 6.4, 22), (81.3, 22), (81.3, 26), head=stage == 3)
        arrow(ax, (x + 3.9, 46.5), (x + 3.9, 50.2), (88, 50.2), head=stage == 3)
        if stage:
            arrow(ax, (x - 2.3, 29.5), (x - 0.4, 29.5))
            arrow(ax, (x - 3.4, 43), (x, 43))
            write(ax, x - 1.8, 44.2, 'carry', 7)
    write(ax, 33.8, 34.8, 'tokens', 7.5, ha='right')
    write(ax, 40.3, 34.8, 'prompt', 7.5, ha='left')
    write(ax, 46, 20.9, 'feature maps', 7.5)
    box(ax, 78, 26, 6.6, 7, 'decode\nhead', 'tuned', 8)


def draw_losses(ax: Axes) -> None:
    """Draw what is compared with what."""
    box(ax, 88, 44.5, 11.4, 8, 'prompt\nconsistency:\nthree views', 'loss', 8)
    box(ax, 88, 33, 11.4, 9, 'prediction\nconsistency:\nviews, mixture', 'loss', 8)
    box(ax, 88, 21.5, 11.4, 9, 'self-training:\nLovász-softmax,\nentropy', 'loss', 8)
    arrow(ax, (84.6, 29.5), (86.8, 29.5), (86.8, 37.5), (88, 37.5))
    arrow(ax, (86.8, 29.5), (86.8, 26), (88, 26))


def draw_labels(ax: Axes) -> None:
    """Draw where labels come from and how they are corrected."""
    box(ax, 16, 1.5, 8.4, 6.5, 'source\nmodel', 'frozen', 8)
    box(ax, 30.5, 1.5, 11, 6.5, 'pseudo\nlabels', 'labels', 8)
    box(ax, 38, 9.8, 22, 6, 'online correction of classes\nwhose IoU curve flattens', 'labels', 8)
    box(ax, 67, 1.5, 12, 14.3, 'label bank:\ncurrent label\nof each image', 'labels', 8)
    arrow(ax, (24.4, 4.8), (30.5, 4.8))
    arrow(ax, (41.5, 4.8), (67, 4.8))
    write(ax, 54.2, 5.9, 'once, before the training', 7.5)
    arrow(ax, (60, 12.8), (67, 12.8))
    arrow(ax, (86.8, 26), (86.8, 18.2), (49, 18.2), (49, 15.8))
    write(ax, 73, 17.1, 'prediction and confidence', 7.5)
    arrow(ax, (79, 8.6), (93.7, 8.6), (93.7, 21.5))
    write(ax, 86.2, 9.8, 'label of the crop', 7.5)


def draw_interactor() -> plt.Figure:
    """Return a prompt interactor, and where the attention of its injector samples."""
    figure, ax = canvas(100, 46)
    draw_extractor(ax)
    draw_injector(ax)
    draw_sampling(ax)
    return figure


def draw_extractor(ax: Axes) -> None:
    """Draw how the pyramid attends to the tokens: the upper lane."""
    panel(ax, 8.6, 24.5, 45.4, 19.5)
    write(ax, 10, 42, 'extractor: the pyramid attends to the tokens', 8, ha='left')
    for side, bottom in ((4, 30), (2.6, 34.8), (1.6, 38.2)):
        ax.add_patch(Rectangle((4.2 - side / 2, bottom), side, side, **style('tuned')))
    write(ax, 4.2, 28.2, 'pyramid c', 8)
    lane = 34
    arrow(ax, (7.2, lane), (11.6, lane))
    box(ax, 11.6, 32.4, 3.6, 3.2, 'LN', 'tuned', 7.5)
    arrow(ax, (15.2, lane), (19, lane))
    box(ax, 19, 31, 9, 6, 'deformable\nattention', 'tuned', 7.5)
    arrow(ax, (28, lane), (30.4, lane))
    plus(ax, 31.4, lane)
    arrow(ax, (9.8, lane), (9.8, 39.2), (31.4, 39.2), (31.4, 35))
    arrow(ax, (32.4, lane), (35.4, lane))
    box(ax, 35.4, 32.4, 3.6, 3.2, 'LN', 'tuned', 7.5)
    arrow(ax, (39, lane), (40.8, lane))
    box(ax, 40.8, 31.6, 5, 4.8, 'FFN', 'tuned', 7.5)
    arrow(ax, (45.8, lane), (48.5, lane))
    plus(ax, 49.5, lane)
    arrow(ax, (33.6, lane), (33.6, 39.2), (49.5, 39.2), (49.5, 35))
    write(ax, 17, 35.2, 'query', 7)


def draw_injector(ax: Axes) -> None:
    """Draw how the tokens attend to what the extractor gave: the lower lane."""
    panel(ax, 31, 2, 32.2, 19)
    write(ax, 32, 4, 'injector: the tokens attend to the pyramid', 8, ha='left')
    grid(ax, 2, 10, 4.4, 4, 'frozen')
    write(ax, 4.2, 8.2, 'tokens x', 8)
    lane = 12.2
    arrow(ax, (7.2, lane), (36, lane))
    arrow(ax, (23.5, lane), (23.5, 26))
    box(ax, 21.7, 26, 3.6, 3.2, 'LN', 'tuned', 7.5)
    arrow(ax, (23.5, 29.2), (23.5, 31))
    write(ax, 24.2, 22.8, 'value', 7, ha='left')
    box(ax, 36, 10.6, 3.6, 3.2, 'LN', 'tuned', 7.5)
    arrow(ax, (39.6, lane), (45, lane))
    write(ax, 42.2, 13.4, 'query', 7)
    box(ax, 45, 9.2, 9, 6, 'deformable\nattention', 'tuned', 7.5)
    arrow(ax, (49.5, 33), (49.5, 20))
    write(ax, 50.2, 22.8, "value c''", 7, ha='left')
    box(ax, 47.7, 16.8, 3.6, 3.2, 'LN', 'tuned', 7.5)
    arrow(ax, (49.5, 16.8), (49.5, 15.2))
    arrow(ax, (54, lane), (55.4, lane))
    box(ax, 55.4, 10.9, 2.6, 2.6, r'$\cdot\,\gamma$', 'tuned', 7.5)
    arrow(ax, (58, lane), (60, lane))
    plus(ax, 61, lane)
    arrow(ax, (33.4, lane), (33.4, 7), (61, 7), (61, 11.2))
    arrow(ax, (62, lane), (66.4, lane))
    write(ax, 65.2, 14.2, "prompt x'", 8)


def draw_sampling(ax: Axes) -> None:
    """Draw the samples that one query takes from the three levels of the pyramid."""
    write(ax, 83, 44.2, 'where a head samples for one query', 8)
    grid(ax, 69.5, 24.5, 9, 4, 'data')
    ax.add_patch(Rectangle((74, 26.75), 2.25, 2.25, **style('frozen')))
    write(ax, 74, 21, 'query: a token;\noffsets and weights\nare linear in it', 7.5)
    samples = (
        (8, ((-0.17, 0.2, 30), (0.12, 0.22, 14), (0.2, -0.1, 22), (-0.08, -0.22, 8))),
        (4, ((-0.3, 0.1, 10), (0.1, 0.33, 26), (0.24, 0.14, 12), (-0.2, -0.2, 18))),
        (2, ((-0.4, 0.3, 16), (0.25, 0.4, 9), (0.28, -0.2, 28), (-0.33, -0.17, 12))),
    )
    for level, (cells, points) in enumerate(samples):
        x, y, side = 86.5, 29.5 - 14.2 * level, 11.5
        grid(ax, x, y, side, cells, 'tuned')
        write(ax, x + side, y + side + 0.9, f'level {level + 1}', 7, ha='right')
        at = (x + 0.625 * side, y + 0.375 * side)
        ax.plot((75.1, at[0]), (27.9, at[1]), color=INK, linewidth=0.6, linestyle=':', zorder=5)
        for right, up, weight in points:
            end = (at[0] + right * side, at[1] + up * side)
            ax.plot((at[0], end[0]), (at[1], end[1]), color=INK, linewidth=0.8, zorder=5)
            ax.scatter(*end, s=weight, color='#b8432f', zorder=6)
        ax.scatter(*at, s=22, marker='x', color=INK, linewidth=1.2, zorder=6)
    ax.scatter(70.8, 9.5, s=22, marker='x', color=INK, linewidth=1.2)
    write(ax, 72.2, 9.5, 'centre of the query,\non every level', 7, ha='left')
    ax.scatter(70.8, 5, s=22, color='#b8432f')
    write(ax, 72.2, 5, 'bilinear sample;\nlarger: more weight', 7, ha='left')


def canvas(width: float, height: float) -> tuple[plt.Figure, Axes]:
    """Return an empty figure ten inches wide, whose axes count from 0 to width and height."""
    figure = plt.figure(figsize=(10, 10 * height / width))
    ax = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    ax.set_aspect('equal')
    ax.axis('off')
    return figure, ax


def style(kind: str) -> dict:
    """Return colours of a kind of part."""
    return {'facecolor': FACES[kind], 'edgecolor': INK, 'linewidth': 0.9}


def box(
    ax: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    text: str,
    kind: str,
    size=8.5,
    rotation=0,
) -> None:
    """Draw a part with its name."""
    corners = f'round,pad=0,rounding_size={min(0.9, width / 4)}'
    ax.add_patch(FancyBboxPatch((x, y), width, height, corners, zorder=2, **style(kind)))
    write(ax, x + width / 2, y + height / 2, text, size=size, rotation=rotation)


def panel(ax: Axes, x: float, y: float, width: float, height: float) -> None:
    """Draw the ground behind parts that belong together."""
    corners = 'round,pad=0,rounding_size=1.2'
    ax.add_patch(FancyBboxPatch((x, y), width, height, corners, color='#f1f4f6', zorder=0))


def grid(ax: Axes, x: float, y: float, side: float, cells: int, kind: str) -> None:
    """Draw a square map of some cells a side."""
    cell = side / cells
    for row in range(cells):
        for column in range(cells):
            ax.add_patch(Rectangle((x + column * cell, y + row * cell), cell, cell, **style(kind)))


def plus(ax: Axes, x: float, y: float) -> None:
    """Draw a sum."""
    ax.add_patch(Circle((x, y), 1, zorder=2, **style('data')))
    write(ax, x, y, '+', 9)


def arrow(ax: Axes, *points: Point, head: bool = True, width: float = 1.0) -> None:
    """Draw a line through points that ends in an arrow."""
    ax.plot(*zip(*points, strict=True), color=INK, linewidth=width, zorder=1)
    if head:
        ax.annotate(
            '',
            points[-1],
            points[-2],
            zorder=1,
            arrowprops={
                'arrowstyle': '-|>',
                'color': INK,
                'linewidth': width,
                'shrinkA': 0,
                'shrinkB': 0,
                'mutation_scale': 9,
            },
        )


def write(ax: Axes, x: float, y: float, text: str, size=8.5, ha='center', rotation=0) -> None:
    """Write text about a point."""
    ax.text(
        x,
        y,
        text,
        ha=ha,
        va='center',
        fontsize=size,
        color=INK,
        rotation=rotation,
        zorder=9,
        linespacing=1.15,
    )


def draw_legend(ax: Axes, x: float, y: float, kinds: Sequence[str]) -> None:
    """Name the colours, from left to right."""
    for kind in kinds:
        ax.add_patch(Rectangle((x, y), 2, 1.6, **style(kind)))
        write(ax, x + 2.6, y + 0.8, NAMES[kind], size=8, ha='left')
        x += 9.5


if __name__ == '__main__':
    main()
