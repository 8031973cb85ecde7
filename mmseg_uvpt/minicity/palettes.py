"""Base colours of the street, before light, haze and camera: RGB in 0..255."""

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]
Colours = tuple[Colour, ...]


@dataclass(frozen=True)
class Palette:
    """What each material looks like; where several are given, each object picks one."""

    sky_top: Colour
    sky_bottom: Colour
    cloud: Colour
    road: Colour
    marking: Colour
    sidewalk: Colour
    curb: Colour
    terrain: Colour
    leaves: Colours
    trunk: Colour
    facades: Colours
    roofs: Colours
    trim: Colour
    glass: Colours
    shops: Colours
    wall: Colour
    brick: Colour
    fences: Colours
    pole: Colour
    signal_box: Colour
    cars: Colours
    trucks: Colours
    buses: Colours
    trams: Colours
    tyre: Colour
    car_glass: Colour
    skin: Colours
    hair: Colours
    tops: Colours
    trousers: Colours
    cycles: Colours


GAME = Palette(
    sky_top=(74, 144, 232),
    sky_bottom=(206, 228, 246),
    cloud=(246, 250, 254),
    road=(98, 100, 110),
    marking=(244, 244, 240),
    sidewalk=(180, 168, 158),
    curb=(212, 206, 198),
    terrain=(118, 176, 66),
    leaves=((56, 140, 52), (84, 160, 56), (40, 118, 66), (112, 158, 44)),
    trunk=(110, 76, 48),
    facades=(
        (216, 118, 80),
        (232, 190, 112),
        (132, 152, 194),
        (202, 204, 210),
        (184, 90, 74),
        (122, 174, 164),
        (236, 222, 196),
    ),
    roofs=((150, 66, 52), (96, 84, 92), (118, 76, 60)),
    trim=(244, 240, 230),
    glass=((70, 112, 156), (150, 196, 228), (46, 74, 112)),
    shops=((200, 44, 60), (34, 120, 190), (240, 170, 40), (46, 140, 96)),
    wall=(198, 184, 164),
    brick=(172, 104, 84),
    fences=((134, 96, 60), (70, 84, 96), (226, 222, 214)),
    pole=(112, 118, 126),
    signal_box=(34, 38, 36),
    cars=(
        (216, 40, 44),
        (40, 92, 206),
        (244, 202, 48),
        (240, 242, 244),
        (42, 46, 56),
        (48, 164, 96),
        (240, 130, 40),
        (150, 158, 168),
    ),
    trucks=((240, 240, 236), (232, 120, 44), (62, 112, 186), (200, 52, 52)),
    buses=((236, 178, 36), (214, 58, 50), (56, 140, 206)),
    trams=((226, 220, 204), (206, 46, 52), (54, 150, 128)),
    tyre=(28, 28, 32),
    car_glass=(56, 86, 116),
    skin=((236, 190, 156), (200, 148, 110), (126, 84, 60)),
    hair=((52, 36, 26), (24, 22, 22), (176, 130, 70)),
    tops=(
        (226, 60, 70),
        (58, 116, 214),
        (246, 214, 76),
        (240, 240, 240),
        (90, 190, 120),
        (150, 80, 180),
    ),
    trousers=((46, 58, 104), (40, 40, 46), (150, 128, 98)),
    cycles=((214, 50, 52), (36, 100, 190), (34, 36, 40), (60, 170, 110)),
)

SUNNY_GAME = replace(
    GAME,
    sky_top=(96, 158, 224),
    sky_bottom=(222, 228, 232),
    road=(122, 116, 114),
    sidewalk=(190, 182, 166),
    leaves=((96, 128, 44), (122, 140, 52), (72, 112, 50), (150, 138, 58)),
    facades=(
        (176, 128, 104),
        (200, 176, 142),
        (142, 136, 138),
        (120, 132, 150),
        (214, 204, 190),
        (158, 104, 92),
    ),
)

STREET = Palette(
    sky_top=(138, 176, 216),
    sky_bottom=(212, 224, 234),
    cloud=(240, 242, 242),
    road=(92, 93, 93),
    marking=(204, 206, 200),
    sidewalk=(140, 136, 128),
    curb=(162, 158, 150),
    terrain=(98, 116, 62),
    leaves=((50, 72, 36), (66, 86, 42), (76, 84, 40), (42, 60, 38)),
    trunk=(70, 60, 50),
    facades=(
        (186, 172, 146),
        (158, 150, 140),
        (204, 192, 164),
        (140, 112, 94),
        (150, 152, 152),
        (176, 132, 104),
        (198, 196, 188),
    ),
    roofs=((110, 66, 54), (74, 72, 74), (90, 74, 64)),
    trim=(210, 204, 192),
    glass=((48, 56, 64), (112, 126, 136), (34, 38, 44)),
    shops=((140, 44, 48), (46, 74, 112), (170, 140, 70), (58, 88, 70)),
    wall=(150, 144, 134),
    brick=(128, 88, 72),
    fences=((84, 72, 58), (66, 72, 72), (150, 150, 146)),
    pole=(96, 100, 100),
    signal_box=(36, 40, 40),
    cars=(
        (34, 36, 40),
        (136, 140, 144),
        (214, 216, 216),
        (70, 76, 88),
        (112, 34, 36),
        (40, 54, 96),
        (168, 170, 170),
        (92, 86, 76),
    ),
    trucks=((214, 214, 210), (160, 104, 60), (74, 96, 130), (150, 60, 56)),
    buses=((206, 170, 70), (172, 64, 58), (204, 206, 204)),
    trams=((206, 200, 186), (160, 52, 54), (200, 186, 110)),
    tyre=(26, 26, 28),
    car_glass=(42, 50, 58),
    skin=((206, 164, 138), (176, 132, 104), (110, 78, 60)),
    hair=((50, 40, 32), (26, 24, 24), (140, 112, 74)),
    tops=((50, 52, 60), (120, 50, 50), (66, 84, 116), (176, 172, 164), (88, 96, 80), (36, 36, 40)),
    trousers=((44, 50, 70), (36, 36, 40), (110, 100, 86)),
    cycles=((44, 46, 50), (110, 44, 44), (60, 76, 104), (150, 152, 152)),
)


def _dimmed(palette: Palette, factor: float) -> Palette:
    """Return a palette whose colours are all times ``factor``."""

    def dim(value: Colour | Colours) -> Colour | Colours:
        if isinstance(value[0], tuple):
            return tuple(map(dim, value))
        return tuple(round(channel * factor) for channel in value)

    return replace(palette, **{name: dim(value) for name, value in vars(palette).items()})


# Lamps, signs and plates have colours of their own, which shine in it.
NIGHT = replace(
    _dimmed(STREET, 0.45),
    sky_top=(9, 12, 24),
    sky_bottom=(44, 40, 42),
    cloud=(34, 32, 36),
    glass=((14, 16, 20), (22, 24, 28), (14, 16, 20), (244, 200, 126), (120, 112, 92)),
    shops=((190, 60, 60), (60, 110, 190), (220, 180, 90), (40, 60, 50)),
)


def pick(colours: Colours, rng: np.random.Generator) -> Colour:
    """Draw one of several colours."""
    return colours[int(rng.integers(len(colours)))]


def shade(colour: Colour, factor: float) -> Colour:
    """Return ``colour`` times ``factor``, kept within 0..255."""
    return tuple(min(255.0, max(0.0, channel * factor)) for channel in colour)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return ``first`` with the given share (0..1) of ``second`` in it."""
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))
