"""A checkpoint's model as a file that runs without this project."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from torch import Tensor

from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.deployment import formats, int8
from mmseg_uvpt.deployment.comparison_with_eager import (
    differences,
    require_same,
    sizes_to_compare,
)
from mmseg_uvpt.deployment.exported_network import ExportedNetwork, eager_logits
from mmseg_uvpt.deployment.metadata import metadata_of
from mmseg_uvpt.engine.config.classes import classes_in, meta_of
from mmseg_uvpt.engine.config.classes import require_same as require_classes
from mmseg_uvpt.engine.config.required import require_data, require_file, require_parts
from mmseg_uvpt.engine.inference.model import source_model
from mmseg_uvpt.engine.inference.result import temperature_in
from mmseg_uvpt.engine.inference.target_images import LOADER, chosen_images
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import file_hash, refuse_to_replace, size_text, write_whole
from mmseg_uvpt.nested import parts_of_type
from mmseg_uvpt.ops.resizing import resized

SMALLEST = (64, 64)  # that ONNX files are compared at; backbones halve a side five times
KEPT = 0.95  # share of labels that usually stay in int8, at least (docs/performance.md)
_LOADING = ('LoadImage', 'LoadLabel', 'LoadAnnotations', 'PackSegInputs')  # how they begin
_RESIZING = ('type', '_scope_', 'scale', 'keep_ratio', 'clip_object_border')
_DEFAULTS = {'interpolation': 'bilinear', 'backend': 'cv2'}


def export(
    cfg: Config,
    checkpoint: str,
    out: Path,
    fixed_size: tuple[int, int] | None = None,
    to_int8: bool = False,
    force: bool = False,
) -> Iterator[str]:
    """Write a .pt2 or an ONNX file of a model once it agrees with the model.

    Args:
        cfg: resolved config.
        checkpoint: a source model or an adapted one.
        out: file to write; its suffix says the format.
        fixed_size: height and width of all images that it shall take; None leaves them open.
        to_int8: whether to quantise the ONNX file, on images of ``target_train_dataloader``.
        force: whether to replace ``out``.

    Yields:
        str: lines that say what was done.

    Raises:
        UserError: the checkpoint does not fit; the model cannot be exported so; a package or an
            image is missing; or the file's logits differ from the model's. Nothing is written then.
    """
    _check_output(out, checkpoint, to_int8, force)
    require_parts(cfg, 'model', 'test_dataloader', *([LOADER] if to_int8 else []))
    if to_int8:
        require_data(cfg, LOADER)
    init_default_scope('mmseg')
    meta, resize = meta_of(cfg.test_dataloader.dataset), resize_before(cfg)
    named = {'test_dataloader.dataset.metainfo.classes': meta['classes']}
    require_classes({**named, f'checkpoint {checkpoint}': classes_in(load_file(checkpoint))})
    segmentor = source_model(cfg, checkpoint)
    network, eager = ExportedNetwork(segmentor).eval(), partial(eager_logits, segmentor)
    fixed = tuple(fixed_size) if fixed_size else None
    size = fixed or tuple(resize['scale'][::-1])

    yield f'tracing {type(segmentor).__name__}{"" if fixed else " for open sizes, in minutes"}'
    program = formats.exported_program(network, fixed)
    smallest = formats.smallest_size(program)
    made_of = {'config': Path(cfg.filename).name, 'checkpoint': Path(checkpoint).name}
    made_of['checkpoint_sha256'] = file_hash(checkpoint)
    temperature = temperature_in(segmentor.test_cfg or {})
    metadata = metadata_of(network, meta, resize, fixed, temperature, made_of)
    if out.suffix == formats.ONNX:
        smallest = fixed or SMALLEST  # what tracing takes for granted, ONNX does not check
        data = formats.onnx_bytes(program, metadata)
        run = formats.run_onnx(data)
    else:
        _require_within(size, smallest)
        data = formats.pt2_bytes(program, metadata)
        run = formats.run_pt2(data)
    found = differences(eager, run, [size] * 2 if fixed else sizes_to_compare(size, smallest))
    require_same(found)
    for (height, width), logits, labels in found:
        yield (
            f'compared at {height} x {width}: logits differ by {logits:.1e} of the largest, '
            f'{labels:.4%} of the labels'
        )
    if to_int8:
        images = [_at(fixed, image) for image in target_images(cfg, int8.IMAGES)]
        data = int8.quantised(data, images)
        same = int8.agreement(map(eager, images), map(formats.run_onnx(data), images))
        yield f'int8, by {len(images)} images of {LOADER}: {same:.2%} of their labels stay'
        if same < KEPT:
            yield f'warning: that is few ({KEPT:.0%} are usual): compare scores before using it'
    with write_whole(out) as file:
        file.write(data)
    if fixed and resize.get('keep_ratio'):
        yield (
            f'note: photographs of another shape than {fixed[0]} x {fixed[1]} are stretched to it, '
            'and the model itself keeps their shape: it says something else of them'
        )
    taken = 'only' if fixed else 'and larger'
    yield f'{out}: {size_text(len(data))}, images of {smallest[0]} x {smallest[1]} {taken}'


def _check_output(out: Path, checkpoint: str, to_int8: bool, force: bool) -> None:
    """Raise a `UserError` unless a file of that name and format can be made of the checkpoint."""
    require_file(checkpoint, 'checkpoint', 'model/README.md lists the released files')
    suffixes = (formats.ONNX,) if to_int8 else formats.SUFFIXES
    refuse_to_replace(out, [checkpoint], force, suffixes)
    if out.suffix == formats.ONNX:
        formats.require_onnx()


def _at(size: tuple[int, int] | None, image: Tensor) -> Tensor:
    """Return an image, uint8 (1, 3, H, W), at the one size that a file takes, if there is one."""
    if size is None:
        return image
    return resized(image.float(), size, align_corners=False).round().to(torch.uint8)


def _require_within(size: tuple[int, int], smallest: tuple[int, int]) -> None:
    if any(side < least for side, least in zip(size, smallest, strict=True)):
        raise UserError(
            f'images of the config have {size[0]} x {size[1]}, and a .pt2 of this model with open '
            f'sizes takes {smallest[0]} x {smallest[1]} and larger: '
            f'--fixed-size {size[0]} {size[1]}, or --out FILE.onnx'
        )


def resize_before(cfg: Config) -> dict:
    """Return ``scale`` [width, height] and ``keep_ratio`` of the config's test images.

    Raises:
        UserError: the test pipeline does more than load, resize and pack.
    """
    pipeline = cfg.test_dataloader.dataset.pipeline
    kinds = [str(step['type']).rpartition('.')[2] for step in pipeline]
    resizes = parts_of_type(pipeline, 'Resize')
    others = [kind for kind in kinds if kind != 'Resize' and not kind.startswith(_LOADING)]
    said = [
        key
        for step in resizes
        for key, value in step.items()
        if key not in _RESIZING and _DEFAULTS.get(key) != value
    ]
    scale = resizes[0].get('scale') if len(resizes) == 1 else None
    sides = [scale] * 2 if isinstance(scale, int) else scale  # as mmcv reads it
    is_size = isinstance(sides, list | tuple) and [type(side) for side in sides] == [int, int]
    if others or said or not is_size:
        options = f', of Resize {", ".join(said)}' if said else ''
        raise UserError(
            f'test_dataloader.dataset.pipeline has {", ".join(kinds)}{options}: an exported file '
            "can say of images that they are resized, once and bilinearly, by dict(type='Resize', "
            'scale=(WIDTH, HEIGHT))'
        )
    return {'scale': list(sides), 'keep_ratio': bool(resizes[0].get('keep_ratio', False))}


def target_images(cfg: Config, number: int) -> Iterator[Tensor]:
    """Yield evenly spaced images of `LOADER` as a file takes them: uint8 RGB (1, 3, H, W).

    Raises:
        UserError: there is none.
    """
    init_default_scope('mmseg')
    dataset = DATASETS.build(cfg[LOADER].dataset)
    for i in chosen_images(dataset, number):
        yield torch.as_tensor(dataset[i]['inputs']).flip(0)[None].contiguous()
