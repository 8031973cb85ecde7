"""Predictions for any images and videos, to be looked at and to be worked on with."""

import os
from collections.abc import Sequence
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mmseg_uvpt.datasets.files.predicted_files import PREDICTIONS, written_files
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.inference.abstention import Abstention
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.inference.result import Result
from mmseg_uvpt.engine.inference.sources import Video, images_in, is_video, no_image
from mmseg_uvpt.engine.inference.video_files import write_video
from mmseg_uvpt.engine.inference.writers import Writers
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.engine.work_folder.outputs import claim_folder
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import open_regular, why_unreadable, write_json, write_png
from mmseg_uvpt.progress import progress

CLASSES = '_classes.png'  # what the file of class ids has after the image's name
VIDEO = '.mp4'


class Written(NamedTuple):
    """How many images and how many frames of videos were predicted.

    And the share of their pixels that have a class; None where no pixel was to abstain.
    """

    images: int
    frames: int
    kept: float | None


def predict_images(
    cfg: Config,
    checkpoint: str,
    sources: Sequence[str],
    out: str,
    command: str,
    opacity: float = 0.5,
    batch_size: int = 1,
    full_size: bool = False,
    listed: str | None = None,
    abstain: float | None = None,
) -> Written:
    """Write two PNGs for each image, classes in colours over it and their ids; of videos a video.

    Args:
        cfg: resolved config, whose test pipeline and palette are used.
        checkpoint: a source model or an adapted one.
        sources: image files, folders that are searched for images of any usual format, video
            files, addresses and numbers of cameras.
        out: folder of the results; below it they lie as the images do in the folders given.
        command: the command line, for the record.
        opacity: of the colours, 0..1.
        batch_size: images that a GPU is given at once.
        full_size: of `Predictor`.
        listed: file that names the images of a folder that are predicted, one a line; None for all.
        abstain: confidence, 0..1, below which a pixel is 255, without a colour; None for no pixel.

    Raises:
        UserError: there is no image, or one is damaged; a result would replace an image, another
            result or a file of others; the checkpoint does not fit, or its numbers are not finite.
    """
    images = _named([x for x in sources if not is_video(x)], written_files(out), listed)
    videos = _videos(sources)
    if not images and not videos:
        raise no_image(', '.join(sources))
    with readable_failures(out), Writers() as writers:
        predictor = Predictor(cfg, checkpoint, full_size=full_size)
        facts = provenance.of_predictions(cfg, checkpoint, command)
        asked = {'amp': uvpt_config(cfg).amp, 'full_size': full_size, 'abstain': abstain}
        facts |= {'asked': asked, 'classes': list(predictor.classes)}
        files = [f'{name}{suffix}' for name in images for suffix in ('.png', CLASSES)]
        files += [f'{video.name}{VIDEO}' for video in videos]
        inputs = [checkpoint, *images.values(), *(video.address for video in videos)]
        facts = claim_folder(out, files, inputs, facts, '--out')
        abstention = Abstention(abstain)
        results = abstention.apply(predictor.results(images.values(), batch_size), images)
        shown = progress(images, 'predicting', 'image')
        for name, result in zip(shown, results, strict=True):
            if full_size:  # several results of large photographs would fill the memory
                write_prediction(result, Path(out) / name, opacity)
            else:
                writers.submit(write_prediction, result, Path(out) / name, opacity)
        frames = 0
        for video in videos:
            file = f'{video.name}{VIDEO}'
            found = abstention.apply(predictor.results(video, batch_size), repeat(file))
            frames += write_video(Path(out, file), (r.overlay(opacity) for r in found), video)
    write_json(
        Path(out) / PREDICTIONS, {**facts, **abstention.facts(), 'finished': provenance.now()}
    )
    return Written(len(images), frames, abstention.kept)


def _named(images: Sequence[str], written: set[Path], listed: str | None = None) -> dict[str, Path]:
    """Return the images by the names of their results, without a suffix; say what is left out.

    Args:
        images: files, and folders to be searched.
        written: results of earlier runs, which may lie in those folders.
        listed: file that names the images of a folder that count; None where all do.
    """
    found: dict[str, Path] = {}
    names = _lines(listed) if listed else None
    if listed and not (len(images) == 1 and Path(images[0]).is_dir()):
        raise UserError(f'--list {listed} names images of a folder: give that folder, and it alone')
    results = {os.path.realpath(path) for path in written}
    for given in map(Path, images):
        if given.is_dir():
            root = given
            paths = [path for path in images_in(given) if os.path.realpath(path) not in results]
            if names is not None:
                found_there = {path.relative_to(given).as_posix(): path for path in paths}
                if missing := sorted(names - found_there.keys()):
                    raise UserError(
                        f'--list {listed} names {missing[0]}, which is no image below {given}'
                    )
                paths = [path for name, path in found_there.items() if name in names]
        elif reason := why_unreadable(given):
            raise UserError(f'{given} {reason}: name an image or a folder of images')
        else:
            root, paths = given.parent, [given]
        for path in paths:
            name = path.relative_to(root).with_suffix('').as_posix()
            if found.setdefault(name, path) != path:
                raise UserError(
                    f'{found[name]} and {path} would both be predicted as {name}.png: predict '
                    'them into different folders'
                )
    return found


def _lines(path: str) -> set[str]:
    try:
        with open_regular(path) as file:
            return {os.fsdecode(name) for line in file if (name := line.strip())}
    except OSError as error:
        raise UserError(f'--list {path} {why_unreadable(path, error)}') from error


def _videos(sources: Sequence[str]) -> list[Video]:
    found: dict[str, Video] = {}
    for address in dict.fromkeys(x for x in sources if is_video(x)):
        video = Video(address)
        if (other := found.setdefault(video.name, video)) is not video:
            raise UserError(
                f'{other.address} and {address} would both be predicted as {video.name}{VIDEO}: '
                'predict them into different folders'
            )
    return list(found.values())


def write_prediction(result: Result, name: Path, opacity: float = 0.5) -> None:
    """Write ``<name>.png``, the classes in colours over the image, and their ids."""
    write_png(name.with_name(f'{name.name}{CLASSES}'), result.classes)
    result.save(name.with_name(f'{name.name}.png'), opacity)
