"""Pseudo labels that cannot be used: each error names file, value and cure; nothing is left."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_uvpt.errors import UserError


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def with_value(value: int):
    def change(path: Path) -> None:
        label = np.array(Image.open(path))
        label[3, 4] = value
        Image.fromarray(label).save(path)

    return change


def halve(path: Path) -> None:
    Image.open(path).resize((64, 48), Image.Resampling.NEAREST).save(path)


def as_colours(path: Path) -> None:
    Image.open(path).convert('RGB').save(path)


BAD = {
    'missing': (Path.unlink, '1 of 5 pseudo labels are missing, the first of them {path}'),
    'truncated': (cut, '{path} is not a whole PNG .*Delete'),
    'empty': (lambda path: path.write_bytes(b''), '{path} is not a whole PNG .*Delete'),
    'no-image': (lambda path: path.write_text('text'), '{path} is not a whole PNG .*Delete'),
    'value-4': (with_value(4), r'{path} holds the label value 4; allowed are 0\.\.3 and 255'),
    'value-254': (with_value(254), '{path} holds the label value 254'),
    'size': (halve, '{path} is 64 x 48 pixels, but its image .*two_leftImg8bit.png is 128 x 96'),
    'colours': (
        as_colours,
        '{path}: a pseudo label has one channel .* this one has 3 of 8 bits',
    ),
}


@pytest.mark.parametrize(('change', 'message'), BAD.values(), ids=BAD.keys())
def test_bad_pseudo_label(make_runner, target: Path, change, message: str) -> None:
    path = target / 'pseudo' / 'a' / 'two_gtFine_labelTrainIds.png'
    change(path)
    with pytest.raises(UserError, match=message.format(path=path)) as error:
        make_runner('run', 1).train()
    command = 'python generate_pseudo_label.py --config <config> --checkpoint <file> '
    assert f'{command}--pseudo_label_dir {target / "pseudo"}' in str(error.value)
    assert not list((target / 'run').glob('*label_bank*'))


def test_missing_folder(make_runner, target: Path) -> None:
    with pytest.raises(UserError, match=r'5 of 5 pseudo labels are missing.*/nowhere/a/one_gtFine'):
        make_runner('run', 1, pseudo_label_dir=str(target / 'nowhere')).train()


def test_palette_labels_are_read_by_index(make_runner, target: Path) -> None:
    """A palette PNG, as pseudo labels are often written to be looked at, means its indices."""
    make_runner('plain', 1).train()
    for path in (target / 'pseudo').glob('*/*.png'):
        image = Image.open(path)
        image.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
        image.save(path)
        assert Image.open(path).mode == 'P'
    make_runner('palette', 1).train()
    plain, palette = (target / run / 'label_bank' / 'labels.u8' for run in ('plain', 'palette'))
    assert plain.read_bytes() == palette.read_bytes()
