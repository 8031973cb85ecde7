"""Images that are decoded and resized once, then mapped into memory from files.

Decoding a PNG of Cityscapes takes longer than a GPU needs for an iteration of training. The first
transforms of a pipeline, up to the first that draws a random number, give the same for a file each
time; `ImageCache` keeps what they give.
"""

import contextlib
import copy
import hashlib
import itertools
import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import mmcv
from mmcv.transforms import BaseTransform
from mmengine.logging import MMLogger
from mmseg.datasets.transforms import Resize
from mmseg.registry import TRANSFORMS

from mmseg_uvpt.datasets.cache_entries import read_entry, write_entry
from mmseg_uvpt.datasets.transforms import LoadImageChecked, LoadLabelChecked, LoadPseudoLabel
from mmseg_uvpt.errors import UserError

_SOURCES = {
    LoadImageChecked: 'img_path',
    LoadLabelChecked: 'seg_map_path',
    LoadPseudoLabel: 'pseudo_label_path',
}
_WITHOUT_CHANCE = (*_SOURCES, Resize)
_VERSION = 2  # to be raised when the loading transforms give other results for the same files
_DAY = 24 * 60 * 60  # seconds


@TRANSFORMS.register_module()
class ImageCache(BaseTransform):
    """Transforms without chance, whose results are kept in files.

    Each image has a file of its own, which appears whole or not at all, so several processes and
    machines may fill and use a folder at once. It serves as long as the image (and the label, if
    one is loaded) has the size and time of modification that it had. Transforms with other
    settings, other versions of the libraries and other processors have files of their own.

    Where a file cannot be written, for want of space for instance, that is logged once a process
    and nothing else changes: the image is decoded as without a cache.

    Args:
        folder: where the files are kept; made if need be.
        transforms: configs of `LoadImageChecked`, `LoadLabelChecked`, `LoadPseudoLabel` and
            `Resize`.

    Raises:
        UserError: the folder cannot be made.
    """

    def __init__(self, folder: str, transforms: Sequence[dict]) -> None:
        self.transforms = [TRANSFORMS.build(transform) for transform in transforms]
        self._sources = [_SOURCES[type(t)] for t in self.transforms if type(t) in _SOURCES]
        settings = [(type(t).__name__, sorted(vars(t).items())) for t in self.transforms]
        versions = _VERSION, cv2.__version__, mmcv.__version__, platform.machine()
        self._recipe = ascii((settings, versions))
        self._folder = Path(folder) / hashlib.sha256(self._recipe.encode()).hexdigest()[:12]
        self._told = False
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f'the folder {folder} of image_cache cannot be made: {error.strerror}. Name '
                'another one, or none to do without'
            ) from error
        _remove_leftovers(self._folder)

    def transform(self, results: dict) -> dict:
        """Return what the transforms make of ``results``.

        Raises:
            DataError: an image or label cannot be used; a file of the cache never raises one.
        """
        try:
            sources = tuple(_stamp(results[key]) for key in self._sources)
        except (OSError, KeyError):  # the transforms say what is wrong with it, or do without
            return self._made(results)
        path = self._folder / _name(path for path, *_ in sources)
        made_of = self._recipe, sources
        if {*self._sources} - {'img_path'}:  # a label serves up to a number of classes
            made_of += (results.get('num_classes'),)
        values = read_entry(path, made_of)
        if values is None:
            made = self._made(results)
            values = {k: v for k, v in made.items() if k not in results or v != results[k]}
            self._write(path, made_of, values)
        return {**results, **values}

    def _made(self, results: dict) -> dict:
        results = copy.deepcopy(results)  # what they change in place would not be seen as new
        for transform in self.transforms:
            results = transform(results)
        return results

    def _write(self, path: Path, made_of: tuple, values: dict) -> None:
        try:
            write_entry(path, made_of, values)
        except UserError as error:
            if not self._told:
                MMLogger.get_current_instance().warning(
                    f'image_cache: {error}. Images that are not in it yet are decoded each time; '
                    'no more is said of it'
                )
            self._told = True


def through_cache(config: object, folder: str | None) -> object:
    """Return a config of a data set or data loader whose pipelines begin with an `ImageCache`.

    Of transforms whose size is drawn at random only the loading is cached: the whole image.

    Args:
        config: dicts and lists; it stays as it is.
        folder: of the cache; None for the config as it is.

    Raises:
        UserError: a pipeline does not begin by loading images with `LoadImageChecked`; or
            ``folder`` is something else.
    """
    if folder is None:
        return config
    if isinstance(config, list | tuple):
        return [through_cache(part, folder) for part in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _cached(value, folder) if key == 'pipeline' else through_cache(value, folder)
        for key, value in config.items()
    }


def all_transforms(pipeline: Iterable[BaseTransform]) -> list[BaseTransform]:
    """Return the transforms of a pipeline, those within an `ImageCache` in its place."""
    groups = (each.transforms if isinstance(each, ImageCache) else [each] for each in pipeline)
    return list(itertools.chain.from_iterable(groups))


def _cached(pipeline: Sequence[dict], folder: str) -> list[dict]:
    steady = list(itertools.takewhile(_is_without_chance, pipeline))
    if not any(_class(transform) is LoadImageChecked for transform in steady):
        names = ', '.join(each.__name__ for each in _WITHOUT_CHANCE)
        raise UserError(
            f'image_cache={folder}: a pipeline begins with {pipeline[0]["type"]}, whose results '
            f'cannot be kept. Let it begin with LoadImageChecked (what is kept is what {names} '
            'give up to the first other transform), or do without image_cache'
        )
    cache = {'type': ImageCache.__name__, 'folder': folder, 'transforms': steady}
    return [cache, *pipeline[len(steady) :]]


def _class(transform: dict) -> type | None:
    kind = transform['type']
    if isinstance(kind, type):
        return kind
    scope = transform.get('_scope_')
    return TRANSFORMS.get(f'{scope}.{kind}' if scope else kind)


def _is_without_chance(transform: dict) -> bool:
    return _class(transform) in _WITHOUT_CHANCE


def _stamp(path: str) -> tuple[str, int, int]:
    """Return a file's absolute path, size in bytes and time of modification in nanoseconds."""
    status = os.stat(path)
    return os.path.abspath(path), status.st_size, status.st_mtime_ns


def _name(paths: Iterable[str]) -> str:
    return hashlib.sha256(ascii(tuple(paths)).encode()).hexdigest()[:32]


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes had begun to write; younger files may be under way."""
    for path in folder.glob('.*.part'):
        with contextlib.suppress(OSError):  # another process removes them too
            if time.time() - path.stat().st_mtime > _DAY:
                path.unlink()
