"""A folder of `transformers`: config.json, safetensors. That library is not needed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object
from mmseg_uvpt.importing import segformer, upernet
from mmseg_uvpt.importing.source_model import PADDING, SourceModel, names_of_classes
from mmseg_uvpt.importing.tensor_names import without
from mmseg_uvpt.nested import dict_or_empty

CONFIG, INPUTS = 'config.json', 'preprocessor_config.json'
WEIGHTS = ('model.safetensors', 'pytorch_model.bin')
_TRANSLATED = {'segformer': segformer.translated, 'upernet': upernet.translated}
_IMAGENET = {'image_mean': (0.485, 0.456, 0.406), 'image_std': (0.229, 0.224, 0.225)}
_CURE = 'the folder is one that save_pretrained writes, or a snapshot of a hub'


def read(folder: str | Path) -> SourceModel:
    """Read a SegFormer, or a UPerNet whose backbone is a Swin or a ConvNeXt.

    Raises:
        UserError: a file is missing or damaged; or the model is another one.
    """
    folder = Path(folder)
    config = read_object(folder / CONFIG, _CURE)
    kind = config.get('model_type')
    if kind not in _TRANSLATED:
        raise UserError(
            f'{folder / CONFIG}: model_type is {kind!r}; what is read is {", ".join(_TRANSLATED)}'
        )
    tensors = _tensors(folder)
    kept = without(tensors, 'auxiliary_head.')
    if 'decode_head.classifier.bias' not in kept:
        raise UserError(
            f'{folder} holds no segmentation head (decode_head.classifier): it is a backbone or a '
            'classifier of images, which is no source model yet'
        )
    try:
        described, state_dict = _TRANSLATED[kind](config, kept)
    except ValueError as error:
        raise UserError(f'{folder / CONFIG}: {error}') from error
    number = len(kept['decode_head.classifier.bias'])
    inputs, notes = _inputs(folder)
    described['decode_head'] |= {'num_classes': number, 'align_corners': False}
    source = SourceModel(
        origin=str(folder),
        what=f'{(config.get("architectures") or [kind])[0]} of transformers',
        model={
            'type': 'SourceSegmentor',
            'data_preprocessor': inputs,
            **described,
            'test_cfg': {'mode': 'whole'},
        },
        state_dict=state_dict,
        classes=names_of_classes(_labels(config), number),
        notes=notes,
    )
    if len(kept) < len(tensors):
        source.left_out.append(f'auxiliary_head ({len(tensors) - len(kept)} tensors)')
    return source


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Read the weights, which may lie in several files that an index names."""
    for name in WEIGHTS:
        if (folder / name).exists():
            return state_dict_of(load_file(folder / name), folder / name)
        index = folder / f'{name}.index.json'
        if index.exists():
            files = read_object(index, _CURE).get('weight_map')
            if not isinstance(files, dict):
                raise UserError(f'{index} holds no weight_map: {_CURE}')
            tensors = {}
            for file in sorted(set(map(str, files.values()))):
                tensors |= state_dict_of(load_file(folder / Path(file).name), folder / file)
            return tensors
    raise UserError(f'{folder} holds none of {" or ".join(WEIGHTS)}: {_CURE}')


def _labels(config: Mapping) -> list[str] | None:
    """Return the names of the classes; None for the library's own LABEL_0, LABEL_1, ..."""
    found = dict_or_empty(config.get('id2label'))
    if {*found} != {str(i) for i in range(len(found))}:  # whose is which nobody could say
        return None
    names = [str(found[str(i)]) for i in range(len(found))]
    return None if all(name.startswith('LABEL_') for name in names) else names


def _inputs(folder: Path) -> tuple[dict, list[str]]:
    """Return how images become inputs, and what is to be said of it."""
    notes = []
    if (folder / INPUTS).exists():
        found = read_object(folder / INPUTS, _CURE)
    else:
        found = _IMAGENET
        notes.append(f"no {INPUTS} in the folder: mean and deviation are ImageNet's")
    if not found.get('do_normalize', True):
        found = {**found, 'image_mean': (0, 0, 0), 'image_std': (1, 1, 1)}
    factor = found.get('rescale_factor', 1 / 255) if found.get('do_rescale', True) else 1
    mean, std = (
        [_number(value, factor, folder) for value in _three(found.get(key), key, folder)]
        for key in _IMAGENET
    )
    size = found.get('size')
    if isinstance(size, Mapping) and {'height', 'width'} <= size.keys():
        notes.append(
            f'its own images are resized to {size["width"]} x {size["height"]}, those here to '
            '1024 x 512 and in proportion: scale of Resize in the pipelines'
        )
    how = {'type': 'SegDataPreProcessor', 'mean': mean, 'std': std, 'bgr_to_rgb': True}
    return {**how, **PADDING}, notes


def _three(found: object, key: str, folder: Path) -> Sequence:
    if found is None:
        return _IMAGENET[key]
    if not isinstance(found, list | tuple):
        raise UserError(f'{folder / INPUTS}: {key}={found!r} must be three numbers')
    return found


def _number(value: float, factor: float, folder: Path) -> float:
    """Return what a number of values in 0..1 is for values in 0..255."""
    try:
        number = round(value / factor, 6)
    except (TypeError, ZeroDivisionError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f'{folder / INPUTS}: {value!r} by {factor!r} is no mean or deviation')
    return number
