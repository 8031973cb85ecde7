"""The looks of MiniCity: everything by which one domain differs from another, as numbers.

A street is laid out without knowing its look; the drawing code asks the look for its palette and
shares, the camera for its ranges, and `photograph` for the rest. The domain gap is tuned here.
"""

from dataclasses import dataclass, field, replace

from mmseg_uvpt.minicity.palettes import GAME, NIGHT, STREET, SUNNY_GAME, Palette

Range = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """One domain's appearance. A range is drawn from uniformly, once a frame.

    Attributes:
        name: used in messages and on contact sheets.
        palette: base colours of all materials.
        eye_height: camera above the road, metres.
        focal: focal length in frame widths (0.7 is a wide lens, 1.1 a narrow one).
        horizon: row of the horizon in frame heights, from the top.
        yaw: camera's direction against the road, tangent.
        townhouses: share of houses with pitched roofs and tall windows; the rest are blocks.
        hatchbacks: share of cars with a steep back; the rest are saloons.
        sun: strength of cast shadows, 0 (overcast) to 1.
        shadow_blur: softness of shadows' edges, pixels.
        texture: strength of surface texture; 1 changes brightness by about a fifth.
        haze: extinction per metre; 0.01 leaves a third of the contrast at 100 m.
        haze_colour: RGB in 0..1.
        exposure: factor on linear brightness.
        contrast: exponent-free contrast about middle grey; 1 leaves it.
        saturation: 0 is grey, 1 leaves it.
        cast: RGB gains of the white balance.
        cast_jitter: deviation of those gains from frame to frame.
        blur: deviation of the lens blur, pixels.
        noise: deviation of sensor noise at middle grey, in 0..1.
        vignetting: darkening of the corners, 0..1.
        jpeg: quality range of a lossy encoding on the way, or None.
        hood: height of the visible bonnet in frame heights (label "ego vehicle"), 0 for none.
        absent: label names this domain does not have.
        lamps: light of street lamps on the ground below them, as a factor on it; 0 is off.
        headlights: light of the camera's own car on what is near and ahead, as a factor; 0 is off.
        glow: share of what is very bright that the lens spreads around it.
    """

    name: str
    palette: Palette
    eye_height: Range = (1.5, 2.1)
    focal: Range = (0.68, 0.8)
    horizon: Range = (0.42, 0.5)
    yaw: Range = (-0.05, 0.05)
    townhouses: float = 0.3
    hatchbacks: float = 0.3
    sun: Range = (0.3, 0.4)
    shadow_blur: float = 0.6
    texture: float = 0.1
    haze: Range = (0.0, 0.001)
    haze_colour: tuple[float, float, float] = (0.78, 0.87, 0.97)
    exposure: Range = (1.0, 1.0)
    contrast: Range = (1.0, 1.0)
    saturation: Range = (1.0, 1.0)
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    cast_jitter: float = 0.0
    blur: Range = (0.0, 0.0)
    noise: Range = (0.0, 0.0)
    vignetting: Range = (0.0, 0.0)
    jpeg: Range | None = None
    hood: float = 0.0
    absent: frozenset[str] = field(default_factory=frozenset)
    lamps: float = 0.0
    headlights: float = 0.0
    glow: float = 0.0


GTA = Look(name='gta', palette=GAME)

SYNTHIA = Look(
    name='synthia',
    palette=SUNNY_GAME,
    eye_height=(1.4, 2.6),
    focal=(0.66, 0.82),
    horizon=(0.38, 0.5),
    townhouses=0.15,
    sun=(0.35, 0.5),
    haze_colour=(0.9, 0.9, 0.9),
    absent=frozenset({'terrain', 'truck', 'train'}),
)

CITYSCAPES = Look(
    name='cityscapes',
    palette=STREET,
    eye_height=(1.15, 1.35),
    focal=(0.82, 0.95),
    horizon=(0.4, 0.46),
    yaw=(-0.03, 0.03),
    townhouses=0.75,
    hatchbacks=0.65,
    sun=(0.0, 0.75),
    shadow_blur=1.2,
    texture=0.55,
    haze=(0.001, 0.007),
    haze_colour=(0.8, 0.85, 0.9),
    exposure=(0.75, 1.25),
    contrast=(0.95, 1.25),
    saturation=(1.0, 1.35),
    cast=(0.98, 1.03, 0.98),
    cast_jitter=0.03,
    blur=(0.45, 0.75),
    noise=(0.008, 0.018),
    vignetting=(0.2, 0.4),
    jpeg=(70, 92),
    hood=0.045,
)

FOG = replace(
    CITYSCAPES,
    name='fog',
    sun=(0.0, 0.1),
    haze=(0.02, 0.045),
    haze_colour=(0.74, 0.76, 0.78),
    exposure=(0.8, 1.1),
    saturation=(0.8, 1.1),
)

NIGHT_CITY = replace(
    CITYSCAPES,
    name='night',
    palette=NIGHT,
    sun=(0.0, 0.0),
    haze=(0.001, 0.004),
    haze_colour=(0.12, 0.12, 0.14),
    exposure=(0.9, 1.3),
    contrast=(0.95, 1.1),
    saturation=(0.8, 1.1),
    cast=(1.04, 1.0, 0.92),
    blur=(0.6, 1.0),
    noise=(0.015, 0.035),
    lamps=1.2,
    headlights=3.0,
    glow=0.5,
)

TARGETS = {look.name: look for look in (CITYSCAPES, NIGHT_CITY, FOG)}
