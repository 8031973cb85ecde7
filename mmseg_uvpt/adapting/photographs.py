"""What is in a folder of photographs: which can be used, and why the others are left out."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from textwrap import shorten

import cv2
import numpy as np
from PIL import Image

from mmseg_uvpt.adapting.labelled import Labelled, is_listable, real
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.file_walk import paths_below
from mmseg_uvpt.datasets.files.image_files import images_below, read_image
from mmseg_uvpt.datasets.files.predicted_files import predicted_files
from mmseg_uvpt.datasets.label_encodings import IGNORE
from mmseg_uvpt.datasets.layouts import TRAIN_IDS
from mmseg_uvpt.datasets.parallel import run_each
from mmseg_uvpt.engine.inference.images import CLASSES
from mmseg_uvpt.engine.inference.sources import VIDEO_SUFFIXES
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.progress import progress

MOST_ELONGATED = 8  # sides of a photograph, one to the other
# why a photograph is left out
UNREADABLE = 'which cannot be read'
MAPS = 'label maps, as their values say (saved as RGB they are photographs)'
_MOST_CLASSES = 64  # of a label map that is known by its values
SMALLEST = 32  # pixels of the shorter side, where the last stage of a backbone has one
_LONGEST = 255  # bytes of a file's name
# names of label maps, of ours and of Cityscapes
_LABEL_MAP = re.compile(rf'.*({re.escape(TRAIN_IDS)}|_gt(Fine|Coarse)_\w+\.png)')
_SAME_LOOK = 4  # bits of 64 in which frames of a video that follow each other differ at most


@dataclass(frozen=True)
class _Photograph:
    name: str
    size: tuple[int, int] = (0, 0)  # height, width, upright
    pixels: bytes = b''  # a hash
    look: int = 0  # `_look`
    problem: str = ''
    is_map: bool = False


@dataclass
class Survey:
    """What was found in a folder.

    Attributes:
        folder: that was searched.
        used: names of the photographs relative to it, in order.
        size: (height, width) that most of them have.
        sizes: how many different ones there are.
        distinct: of those used, how many do not look as the last one that counts: frames of a
            video count once as long as nothing moves.
        left_out: reasons to what is left out for them, a line each.
        other_files: a sentence on images of kinds that are not read, or none.
    """

    folder: Path
    used: list[str] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    sizes: int = 0
    distinct: int = 0
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    other_files: str = ''

    def lines(self) -> Iterator[str]:
        """Yield what was found, for people: counts, and what is left out by its name."""
        height, width = self.size
        sizes = f'{self.sizes} sizes, most often' if self.sizes > 1 else 'all of'
        like = len(self.used) - self.distinct
        frames = f'; {like} look as one before, as frames of a video do' if like else ''
        yield f'{len(self.used)} used, {sizes} {width} x {height}{frames}'
        for reason, found in self.left_out.items():
            more = f' and {len(found) - 3} more' if len(found) > 3 else ''
            yield f'{len(found)} left out, {reason}: {", ".join(found[:3])}{more}'
        if self.other_files:
            yield self.other_files


def survey(folder: Path, processes: int, labelled: Labelled | None = None) -> Survey:
    """Read every photograph below a folder.

    Left out are those that cannot be read, that repeat another one to the pixel, those with too few
    pixels, label maps, those that are to score with or repeat one of these, those whose name cannot
    be listed or is too long, and those whose predictions would have the files of another's: with
    its name but for the suffix (as a camera's two formats of one photograph) or for capitals.

    Args:
        folder: is searched with all folders in it.
        processes: number of them.
        labelled: photographs that are to score with, and not to be trained on.

    Raises:
        UserError: there is no such folder, or nothing in it can be used.
    """
    if not folder.is_dir():
        raise UserError(f'{folder} is no folder: name the one that holds the photographs')
    paths, other_files = images_below(folder)
    found = Survey(folder, other_files=other_files)
    files = list(paths_below(folder))
    predicted = {Path(path) for path in predicted_files(files)}
    names, scoring = [], labelled.files() if labelled else set()
    for path in paths:
        name, resolved = path.relative_to(folder).as_posix(), real(path)
        is_map = _LABEL_MAP.fullmatch(name) or (labelled and labelled.is_map(resolved))
        if resolved in predicted:
            found.left_out['predictions made here'].append(name)
        elif is_map or resolved in scoring:
            found.left_out['for scoring, or label maps'].append(name)
        else:
            names.append(name)
    looks, read = {}, [*names, *map(str, sorted(scoring))]
    with closing(run_each(_Reader(folder), read, processes, _killed)) as readings:
        for each in progress(readings, 'reading photographs', 'photograph', len(read)):
            looks[each.name] = each
    seen: dict[bytes, str] = {looks[name].pixels: name for name in read[len(names) :]}
    stems: dict[str, str] = {}
    for name in names:
        _sort_in(found, looks[name], seen, stems)
    found.left_out['videos, of which frames can be taken by ffmpeg'] = [
        Path(path).name for path in files if path.lower().endswith(VIDEO_SUFFIXES)
    ]
    found.left_out = {reason: which for reason, which in found.left_out.items() if which}
    if not found.used:
        told = '; '.join(list(found.lines())[1:]) or 'it holds no image (.jpg, .png or the like)'
        raise UserError(f'{folder}: no photograph there can be used: {told}')
    used = [looks[name] for name in found.used]
    sizes = Counter(each.size for each in used)
    found.size, found.sizes = sizes.most_common(1)[0][0], len(sizes)
    found.distinct = _distinct([each.look for each in used])
    return found


def _distinct(looks: list[int]) -> int:
    """Count looks that differ from the last one that counts; a slow change ends in another one."""
    counted = looks[:1]
    for look in looks:
        if (counted[-1] ^ look).bit_count() > _SAME_LOOK:
            counted.append(look)
    return len(counted)


def _sort_in(found: Survey, each: _Photograph, seen: dict, stems: dict) -> None:
    stem = str(Path(each.name).with_suffix('')).casefold()
    predictions = (stem, f'{stem}{CLASSES}'.removesuffix('.png'))
    other = next((stems[made] for made in predictions if made in stems), None)
    if each.problem:
        found.left_out[UNREADABLE].append(f'{each.name} ({each.problem})')
    elif each.is_map:
        found.left_out[MAPS].append(each.name)
    elif not is_listable(each.name):
        found.left_out['whose name cannot be listed'].append(repr(each.name))
    elif len(os.fsencode(Path(each.name).stem + TRAIN_IDS)) > _LONGEST:
        found.left_out['whose name is too long for those of its results'].append(each.name)
    elif min(each.size) < SMALLEST or max(each.size) > MOST_ELONGATED * min(each.size):
        height, width = each.size
        found.left_out['too small or too narrow'].append(f'{each.name} ({width} x {height})')
    elif each.pixels in seen:
        found.left_out['the same as others'].append(f'{each.name} ({seen[each.pixels]})')
    elif other:
        found.left_out['of the name of another'].append(f'{each.name} ({other})')
    else:
        seen[each.pixels] = each.name
        stems.update(dict.fromkeys(predictions, each.name))
        found.used.append(each.name)


@dataclass(frozen=True)
class _Reader:
    folder: Path

    def __call__(self, name: str) -> _Photograph:
        try:
            image = read_image(self.folder / name)
        except DataError as error:
            told = str(error).removeprefix(str(self.folder / name)).strip()
            told = told.removeprefix('cannot be read').removeprefix(' as an image').strip(' :()')
            return _Photograph(name, problem=shorten(told, 90, placeholder=' ...'))
        digest = sha256(np.ascontiguousarray(image)).digest()
        is_map = _holds_classes(self.folder / name)
        return _Photograph(name, image.shape[:2], digest, _look(image), is_map=is_map)


def _holds_classes(path: Path) -> bool:
    """Tell whether a file is a PNG of few numbers a pixel: of classes below 64, and 255."""
    if path.suffix.lower() != '.png':
        return False
    with suppress(Exception), Image.open(path) as image:  # whatever it cannot read is no map
        if image.mode in ('L', 'P'):
            values = np.unique(np.asarray(image))
            return bool(((values < _MOST_CLASSES) | (values == IGNORE)).all())
    return False


def _killed(name: str) -> _Photograph:
    return _Photograph(name, problem='kills the process that reads it')


def _look(image: np.ndarray) -> int:
    """Return 64 bits that nearly equal images share nearly all of: where it becomes brighter."""
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (9, 8), interpolation=cv2.INTER_AREA)
    return int.from_bytes(np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes(), 'big')
