"""Predictions for any images, to be looked at and to be worked on with."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.datasets.files.image_files import images_below, naming, read_image
from mmseg_uvpt.datasets.loader_workers import inference_loader
from mmseg_uvpt.engine.config.classes import meta_of
from mmseg_uvpt.engine.config.resolve import require_file
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.engine.inference.model import accelerated_model
from mmseg_uvpt.engine.inference.writers import Writers
from mmseg_uvpt.engine.work_folder import provenance
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.engine.work_folder.outputs import RECORD, claim_folder, written_files
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import why_unreadable, write_json, write_png
from mmseg_uvpt.progress import progress

CLASSES = '_classes.png'  # what the file of class ids has after the image's name


def predict_images(
    cfg: Config,
    checkpoint: str,
    images: Sequence[str],
    out: str,
    command: str,
    opacity: float = 0.5,
) -> int:
    """Write two PNGs for each image: its classes in colours over it, and their ids.

    Args:
        cfg: resolved config, whose test pipeline and palette are used.
        checkpoint: a source model or an adapted one.
        images: files, and folders that are searched for images of any usual format.
        out: folder of the results; below it they lie as the images do in the folders given.
        command: the command line, for the record.
        opacity: of the colours, 0..1.

    Returns:
        int: number of images.

    Raises:
        UserError: there is no image, or one is damaged; a result would replace an image, another
            result or a file of others; the checkpoint does not fit, or its numbers are not finite.
    """
    require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
    named = _named(images, written_files(out))
    init_default_scope('mmseg')
    meta = meta_of(cfg.test_dataloader.dataset)
    palette = np.array(meta['palette'], np.uint8)
    facts = provenance.of_predictions(cfg, checkpoint, command)
    facts |= {'amp': uvpt_config(cfg).amp, 'classes': list(meta['classes'])}
    with readable_failures(out), Writers() as writers:
        model = accelerated_model(cfg, checkpoint, meta['classes'], 'test_dataloader')
        files = [f'{name}{suffix}' for name in named for suffix in ('.png', CLASSES)]
        facts = claim_folder(out, files, [checkpoint, *named.values()], facts, '--out')
        pipeline = Compose(cfg.test_dataloader.dataset.pipeline)
        workers = min(inference_loader(cfg.test_dataloader)['num_workers'], len(named))
        how = {'collate_fn': pseudo_collate, **inference_loader({'num_workers': workers})}
        loader = DataLoader(_Images([*named.values()], pipeline), **how)
        labels = (result.label.cpu().numpy() for result in predict(model, loader, meta['classes']))
        shown = progress(named.items(), 'predicting', 'image')
        for (name, path), label in zip(shown, labels, strict=True):
            writers.submit(_write, Path(out) / name, path, label, palette, opacity)
    write_json(Path(out) / RECORD, {**facts, 'finished': provenance.now()})
    return len(named)


def predict_image(
    model: torch.nn.Module, cfg: Config, path: str | Path
) -> tuple[np.ndarray, np.ndarray]:
    """Predict one image, as a test does.

    Args:
        model: from `model.source_model`, or another segmentor in eval mode.
        cfg: its config, for the test pipeline.
        path: of the image.

    Returns:
        tuple: uint8 (H, W) classes and float32 (H, W) their probabilities, at the image's size.

    Raises:
        UserError: the image is missing or damaged; the model's numbers are not finite.
    """
    with naming(path):
        frame = Compose(cfg.test_dataloader.dataset.pipeline)({'img_path': str(path)})
    (result,) = predict(model, [pseudo_collate([frame])])
    return result.label.cpu().numpy(), result.confidence().cpu().numpy()


def _named(images: Sequence[str], written: set[Path]) -> dict[str, Path]:
    """Return the images by the names of their results, without a suffix; say what is left out.

    Args:
        images: files, and folders to be searched.
        written: results of earlier runs, which may lie in those folders.
    """
    found: dict[str, Path] = {}
    results = {os.path.realpath(path) for path in written}
    for given in map(Path, images):
        if given.is_dir():
            root = given
            paths, left_out = images_below(given)
            paths = [path for path in paths if os.path.realpath(path) not in results]
            if left_out:
                print(left_out, file=sys.stderr)
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
    if not found:
        raise UserError(f'{", ".join(images)}: no image there (.png, .jpg or the like)')
    return found


class _Images(Dataset):
    def __init__(self, paths: list[Path], pipeline: Compose):
        self.paths = paths
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        with naming(self.paths[index]):
            return self.pipeline({'img_path': str(self.paths[index])})


def _write(name: Path, image: Path, label: np.ndarray, palette: np.ndarray, opacity: float) -> None:
    seen = read_image(image)[..., ::-1]
    mixed = cv2.addWeighted(palette[label], opacity, np.ascontiguousarray(seen), 1 - opacity, 0)
    write_png(name.with_name(f'{name.name}{CLASSES}'), label)
    write_png(name.with_name(f'{name.name}.png'), mixed)
