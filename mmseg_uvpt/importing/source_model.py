"""A source model of another program, as one of this project's."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor, nn

import mmseg_uvpt.models.segmentors.source  # noqa: F401  # which the registry is asked for
from mmseg_uvpt.checkpoints.fitting import fit
from mmseg_uvpt.datasets.label_encodings import CLASSES, PALETTE
from mmseg_uvpt.datasets.named_classes import check_names
from mmseg_uvpt.errors import UserError, first_line

SIDE = 256  # of the image that a model is tried with
PUBLISHED_SCALE = (1024, 512)  # width, height that published recipes resize images to
# of a preprocessor, beside its numbers: a batch is padded to its largest image
PADDING = {'pad_val': 0, 'seg_pad_val': 255, 'size_divisor': 1}

_NO_NAMES = (
    'no names   of the classes are known: put them into metainfo of both configs, or leave '
    "metainfo out where they are Cityscapes' 19"
)
_INSTEAD = (
    'Instead, its head alone can be tuned, as the written config does by '
    "model.tuner=dict(type='Head'); or train a source model with a backbone of docs/backbones.md"
)
_TOO_FEW = 'Expected more than 1 value per channel'  # what torch says of a batch norm
_TWO_IMAGES = (
    'its head has a batch norm behind a pooling of the whole map, which needs two images at a '
    'time: an adaptation has batch_size=2, where the published recipes have 1'
)


@dataclass
class SourceModel:
    """What is read of a model.

    Attributes:
        origin: file or folder.
        what: names of its parts, for people.
        model: config of a `SourceSegmentor`.
        state_dict: its tensors, by their names.
        classes: names, in the order of the head's channels.
        palette: colours [red, green, blue]; None for those of Pascal VOC.
        imports: modules that define parts of it.
        left_out: what of the file is not taken, in words.
        notes: sentences on what differs from the program it comes from.
        batch_size: how many images it needs at a time to be trained.
        not_staged: why its backbone cannot be run stage by stage; None where it can.
        adapted_from: hashes of the weights that it was adapted from, as its file says.
        scale: (width, height) within which its own tests resize images; None where nobody says.
    """

    origin: str
    what: str
    model: dict
    state_dict: dict[str, Tensor]
    classes: Sequence[str]
    palette: Sequence[Sequence[int]] | None = None
    imports: Sequence[str] = ()
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    batch_size: int = 1
    not_staged: str | None = None
    adapted_from: Sequence[str] = ()
    scale: tuple[int, int] | None = None

    @property
    def is_cityscapes(self) -> bool:
        """Whether its classes are the 19 of Cityscapes, in order."""
        return tuple(self.classes) == CLASSES

    @property
    def is_numbered(self) -> bool:
        """Whether no names of its classes are known."""
        return tuple(self.classes) == numbers(len(self.classes))

    def named(self) -> dict:
        """Return classes and, where it has them, colours, as configs name both."""
        palette = PALETTE if self.is_cityscapes else self.palette
        return {'classes': list(self.classes)} | (
            {'palette': [list(colour) for colour in palette]} if palette else {}
        )

    def summary(self) -> str:
        """Return what is to be known of it, a line a matter."""
        inputs, first = self.model['data_preprocessor'], self.classes[:2]
        names = 'those of Cityscapes' if self.is_cityscapes else ', '.join(self.classes)
        order = 'RGB' if inputs.get('bgr_to_rgb') else 'BGR'
        lines = [
            f'read       {self.origin}: {self.what}',
            f'classes    {len(self.classes)}: {names}',
            f'mean       {_texts(inputs["mean"])} ({order})',
            f'deviation  {_texts(inputs["std"])}',
            *(f'left out   {part}' for part in self.left_out),
            *(f'note       {note}' for note in self.notes),
        ]
        if self.scale not in (None, PUBLISHED_SCALE):
            width, height = self.scale
            lines.append(
                f'note       its own tests resize images to {width} x {height}, those here to '
                '1024 x 512: scale of Resize in the pipelines'
            )
        if self.is_numbered:
            lines.append(_NO_NAMES)
        if not self.is_cityscapes:
            ids = f'0 for {first[0]!r}, 1 for {first[1]!r}'
            lines.append(f'labels     to score with hold {ids} and so on (docs/extending.md)')
        if self.not_staged:
            lines.append(f'no prompts {self.not_staged}. {_INSTEAD}')
        return '\n'.join(lines)


def _texts(numbers: Sequence[float]) -> str:
    return ', '.join(f'{number:g}' for number in numbers)


def numbers(count: int) -> tuple[str, ...]:
    """Return names for classes of which none are known."""
    return tuple(f'class {i}' for i in range(count))


def names_of_classes(found: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """Return a name for each of a head's classes.

    Args:
        found: names that come with the model; None, or another number of them, for none.
        number: of classes.

    Returns:
        tuple: Cityscapes' own spelling where they are its 19, whatever their case; names that
        occur twice have the number of their class behind them.

    Raises:
        UserError: there are fewer than 2 or more than 254.
    """
    names = list(map(str, found)) if isinstance(found, list | tuple) else []
    if len(names) != number:
        names = list(numbers(number))
    if tuple(name.lower().replace('_', ' ').replace('-', ' ') for name in names) == CLASSES:
        return CLASSES
    names = [name if name not in names[:i] else f'{name} ({i})' for i, name in enumerate(names)]
    check_names(names, 'the model')
    if sorted(names) == sorted(CLASSES):
        first = next(i for i, name in enumerate(names) if name != CLASSES[i])
        raise UserError(
            f"the model's classes are those of Cityscapes in another order, id {first} is "
            f'{names[first]!r} instead of {CLASSES[first]!r}: reorder the rows of its classifier'
        )
    return tuple(names)


def build(source: SourceModel) -> nn.Module:
    """Build the segmentor, load its tensors, and have it predict an image.

    It is tried as an adaptation runs it, too, from which ``source.batch_size`` is set.

    Raises:
        UserError: the tensors do not fit the config, or the model gives no logits.
    """
    init_default_scope('mmseg')
    try:
        model = MODELS.build(source.model)
    except Exception as error:
        raise UserError(
            f'{source.origin}: its model cannot be built: {type(error).__name__}: '
            f'{first_line(error)}'
        ) from error
    tensors = fit(model, source.state_dict, source.origin)
    model.train()  # before its statistics are loaded, which this changes
    try:
        _logits(source, model, 1)
    except UserError as error:
        if _TOO_FEW not in str(error):
            raise
        _logits(source, model, 2)
        source.batch_size = 2
        source.notes.append(_TWO_IMAGES)
    model.load_state_dict(tensors, strict=False)
    if not _logits(source, model.eval(), 1).isfinite().all():
        raise UserError(f'{source.origin}: the model gives no finite numbers')
    return model


def _logits(source: SourceModel, model: nn.Module, count: int) -> Tensor:
    """Run a segmentor on a number of black images."""
    mode = 'train' if model.training else 'eval'
    try:
        with torch.no_grad():
            logits = model(torch.zeros(count, 3, SIDE, SIDE), mode='tensor')
    except Exception as error:
        raise UserError(
            f'{source.origin}: its model, in {mode} mode, fails on images of {SIDE} x {SIDE}, and '
            'an adaptation shows it such of several sizes: '
            f'{type(error).__name__}: {first_line(error)}'
        ) from error
    found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if not isinstance(logits, Tensor) or found[:2] != (count, len(source.classes)):
        raise UserError(
            f'{source.origin}: {source.model["decode_head"]["type"]}, in {mode} mode, gives '
            f'{found}, not logits ({count}, {len(source.classes)}, height, width). Heads that '
            'classify masks, and those that give more than logits, are not adapted'
        )
    return logits
