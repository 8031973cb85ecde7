"""Charts as SVG in a page: drawn by matplotlib, coloured by the page's style, read by anybody.

Colours stand for variables of the style (`style.css`), so that a chart fits a light page and a
dark one; text stays text; the numbers stand in a table beside it.
"""

import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from mmseg_uvpt.evenly_spaced import evenly_spaced

# colours that nobody draws with, and what each stands for
INK, LINE, GOOD, BAD, SOFT = '#010101', '#010102', '#010103', '#010104', '#010105'
SERIES = tuple(f'#0102{i:02x}' for i in range(8))
DASHES = ('-', '--', ':', '-.')  # of those that have a colour in common
_STYLES = {
    **{INK: 'currentColor', LINE: 'var(--line)', SOFT: 'var(--soft)'},
    **{GOOD: 'var(--good)', BAD: 'var(--bad)'},
} | {colour: f'var(--series-{i})' for i, colour in enumerate(SERIES)}
_SETTINGS = {
    **{'svg.fonttype': 'none', 'font.size': 9, 'font.family': 'sans-serif'},
    'text.parse_math': False,  # names may hold dollar signs
    **dict.fromkeys(('text.color', 'axes.labelcolor', 'xtick.color', 'ytick.color'), INK),
    **{'axes.edgecolor': LINE, 'grid.color': LINE, 'axes.grid': True, 'axes.axisbelow': True},
    **{'axes.spines.top': False, 'axes.spines.right': False, 'lines.linewidth': 1.6},
    **{'xtick.labelcolor': INK, 'ytick.labelcolor': INK, 'legend.frameon': False},
    **{'figure.facecolor': 'none', 'axes.facecolor': 'none', 'svg.hashsalt': 'mmseg_uvpt'},
}
WIDE = 11.0  # inches, of a chart that is as wide as the page
POINTS = 300  # of a curve: more cannot be seen
_number = itertools.count()


@dataclass(frozen=True)
class Chart:
    """A chart and the numbers that it shows.

    Args:
        svg: an element for the page.
        title: what is shown.
        header: of the columns of `rows`.
        rows: of text and numbers.
    """

    svg: Markup
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]


def chart(
    draw: Callable[[Axes], None],
    title: str,
    description: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    size: tuple[float, float] = (WIDE, 3.4),
) -> Chart:
    """Draw a chart.

    Args:
        draw: draws on axes, in colours of this module.
        title: what is shown.
        description: what there is to be seen, for those who do not see it.
        header, rows: of the table of the same numbers.
        size: in inches.
    """
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(size, layout='constrained')
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(text, format='svg', metadata={'Date': None, 'Creator': None})
    return Chart(_in_page(text.getvalue(), title, description), title, header, rows)


def curve_rows(curves: Mapping[str, Sequence]) -> list[list]:
    """Return some 400 rows for a table of curves, evenly spaced over each: its name and a point."""
    each = max(5, 400 // max(1, len(curves)))
    return [
        [name, *point] for name, points in curves.items() for point in evenly_spaced(points, each)
    ]


def series(number: int) -> dict[str, str]:
    """Return colour and dashes of a curve by its number."""
    return {
        'color': SERIES[number % len(SERIES)],
        'linestyle': DASHES[number // len(SERIES) % len(DASHES)],
    }


def legend(axes: Axes, names: Sequence[str]) -> None:
    """Put a legend above the axes, in as many columns as its longest name lets stand there.

    Args:
        axes: with lines that have these names as labels.
        names: of what is to be in it.
    """
    columns = max(1, min(6, 120 // max(map(len, names))))
    lines = {line.get_label(): line for line in axes.lines}
    handles = [lines[name] for name in names]
    axes.figure.legend(handles, names, loc='outside upper left', ncols=columns)


def _in_page(svg: str, title: str, description: str) -> Markup:
    """Return an SVG file as an element whose names and colours are those of the page."""
    prefix = f'chart-{next(_number)}-'
    svg = svg[svg.index('<svg') :]
    svg = re.sub(r'<metadata>.*?</metadata>|<style .*?</style>', '', svg, flags=re.DOTALL)
    svg = re.sub(r'<!--.*?-->', '', svg, flags=re.DOTALL)
    svg = re.sub(r'( id="|"#|url\(#)', rf'\g<1>{prefix}', svg)
    for colour, style in _STYLES.items():
        svg = svg.replace(colour, style)
    view_box = re.search(r'viewBox="0 0 ([\d.]+) [^"]*"', svg)
    width = float(view_box[1])
    named = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{view_box[0]} style="min-width: {0.9 * width:.0f}px; '
        f'max-width: {1.6 * width:.0f}px" role="img" '
        f'aria-labelledby="{prefix}title {prefix}desc">'
        f'<title id="{prefix}title">{escape(title)}</title>'
        f'<desc id="{prefix}desc">{escape(description)}</desc>'
    )
    return Markup(re.sub(r'<svg[^>]*>', lambda _: named, svg, count=1))
