"""What a label bank belongs to: it must not be used for anything else."""

from dataclasses import asdict, dataclass
from pathlib import Path

from mmseg_uvpt.correction.layout import Size
from mmseg_uvpt.errors import UserError


@dataclass(frozen=True)
class BankIdentity:
    """The run a label bank was made for.

    Attributes:
        pseudo_label_dir: folder whose pseudo labels the bank began with, resolved.
        num_classes: number of classes.
        crop_size: (height, width) of the training crops.
        resize: the resizing of the training pipeline, in words.
        frames: image paths relative to the image folder, in the order of the data set.
    """

    pseudo_label_dir: str
    num_classes: int
    crop_size: Size
    resize: str
    frames: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return the fields as JSON would give them back."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, object]) -> 'BankIdentity':
        """Take back what `as_json` returned; raises TypeError for anything else."""
        found = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in value.items()})
        numbers, texts = (found.num_classes, *found.crop_size), (found.resize, *found.frames)
        if not all(type(n) is int for n in numbers) or not all(type(t) is str for t in texts):
            raise TypeError('its identity holds values of other types')
        return found

    def check_same(self, saved: 'BankIdentity', folder: Path, moved: bool = False) -> None:
        """Compare with the identity that a bank was made with.

        Args:
            saved: identity of the bank.
            folder: the bank, for the message.
            moved: whether the folder of pseudo labels may be another one.

        Raises:
            UserError: they differ; the message says in what.
        """
        cure = 'Use the settings it was made with, or choose another --work-dir.'
        for name in ('pseudo_label_dir', 'num_classes', 'crop_size', 'resize'):
            theirs, ours = getattr(saved, name), getattr(self, name)
            if theirs != ours and not (moved and name == 'pseudo_label_dir'):
                raise UserError(
                    f'{folder} belongs to another run: its {name} is {theirs}, this run has '
                    f'{ours}. {cure}'
                )
        if saved.frames != self.frames:
            differing = sorted(set(saved.frames) ^ set(self.frames))
            example = f', for example {differing[0]}' if differing else ' in another order'
            raise UserError(
                f'{folder} belongs to another data set: it holds {len(saved.frames)} frames, the '
                f'data set {len(self.frames)}, and they differ{example}. {cure}'
            )
