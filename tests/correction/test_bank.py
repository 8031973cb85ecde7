"""The label bank: round trips, sizes on disk and in memory, and what it refuses."""

import dataclasses
import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from mmseg_uvpt.correction import label_bank as bank_module
from mmseg_uvpt.correction.identity import BankIdentity
from mmseg_uvpt.correction.label_bank import Box, Kept, LabelBank
from mmseg_uvpt.correction.layout import BankLayout
from mmseg_uvpt.correction.thresholds import class_quantiles
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import size_text

SIZES = [(20, 30), (8, 40), (31, 17)]
IDENTITY = BankIdentity('/pseudo', 5, (16, 16), 'none', ('a.png', 'b.png', 'c.png'))


def make_labels(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), size) for size in SIZES]


def make_kept(rng: np.random.Generator, i: int) -> Kept:
    """A prediction of a random crop of frame i; not all crops have the full size."""
    height, width = SIZES[i]
    h, w = min(height, rng.integers(4, 17)), min(width, rng.integers(4, 17))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    box = Box(int(top), int(top + h), int(left), int(left + w))
    confidence = rng.random((h, w)).astype(np.float16)
    return Kept(box, rng.integers(0, 4, (h, w), np.uint8), confidence)


@pytest.fixture
def labels() -> list[np.ndarray]:
    return make_labels(np.random.default_rng(0))


@pytest.fixture
def bank(tmp_path: Path, labels) -> LabelBank:
    return LabelBank.create(tmp_path / 'bank', IDENTITY, SIZES, labels)


def test_labels_that_are_no_classes_are_refused(tmp_path, labels) -> None:
    """The loss would fail on them much later."""
    labels[1][3, 4] = 5  # of five classes
    with pytest.raises(UserError, match='a value that is no class, in frame 1'):
        LabelBank.create(tmp_path / 'bank', IDENTITY, SIZES, labels)


def test_survives_closing(bank: LabelBank, labels) -> None:
    """Frames of different sizes do not run into each other, within a run and after it."""
    rng = np.random.default_rng(1)
    assert bank.iteration == -1
    expected = {}
    for iteration in range(40):
        i = int(rng.integers(3))
        expected[i] = make_kept(rng, i)
        bank.keep(i, iteration, expected[i])
        box = make_kept(rng, i).box
        value = rng.integers(0, 5, box.size, np.uint8)
        labels[i][box.top : box.bottom, box.left : box.right] = value
        bank.write_label(i, box, value)
    for _ in range(2):
        assert bank.iteration == 39
        for i, (height, width) in enumerate(SIZES):
            np.testing.assert_array_equal(bank.read_label(i, Box(0, height, 0, width)), labels[i])
            kept = bank.kept(i)
            assert kept.box == expected[i].box
            np.testing.assert_array_equal(kept.prediction, expected[i].prediction)
            np.testing.assert_array_equal(kept.confidence, expected[i].confidence)
        everything = [np.concatenate([k[j].ravel() for k in expected.values()]) for j in (1, 2)]
        np.testing.assert_array_equal(bank.thresholds(0.8), class_quantiles(*everything, 5, 0.8))
        bank.close()
        bank = LabelBank(bank.folder, IDENTITY)
    bank.close()


def test_frame_never_predicted_has_nothing_kept(bank: LabelBank) -> None:
    bank.keep(1, 0, make_kept(np.random.default_rng(0), 1))
    assert bank.kept(0) is None
    np.testing.assert_array_equal(bank.thresholds(0.8)[4], 0)


def test_copies_are_handed_out(bank: LabelBank, labels) -> None:
    """Writing into what was read must not write into the bank."""
    box = Box(0, 20, 0, 30)
    bank.read_label(0, box)[:] = 7
    np.testing.assert_array_equal(bank.read_label(0, box), labels[0])


@pytest.mark.parametrize('box', [(0, 21, 0, 16), (-1, 5, 0, 5), (5, 5, 0, 5), (0, 5, 28, 31)])
def test_box_outside_is_refused(bank: LabelBank, box) -> None:
    with pytest.raises(ValueError, match=re.escape(f'box {box} is outside of frame 0, 20 x 30')):
        bank.read_label(0, Box(*box))


def test_crop_larger_than_its_slot_is_refused(bank: LabelBank) -> None:
    """It would overwrite the next frame's prediction."""
    box = Box(0, 20, 0, 20)
    kept = Kept(box, np.zeros(box.size, np.uint8), np.zeros(box.size, np.float16))
    with pytest.raises(ValueError, match='a crop of 20 x 20 is larger than 256 pixels'):
        bank.keep(0, 0, kept)
    assert bank.kept(0) is None


def test_cityscapes_fits_on_disk() -> None:
    """2975 frames of 1024 x 512: at most 4.5 GB, by arithmetic of its own."""
    layout = BankLayout([(512, 1024)] * 2975, (512, 512))
    total = sum(layout.file_bytes.values())
    assert total == 2975 * (512 * 1024 + 512 * 512 * (1 + 2) + 5 * 8)
    assert total <= 4.5e9


def test_files_have_the_size_of_the_layout(bank: LabelBank) -> None:
    for name, size in bank.layout.file_bytes.items():
        stat = (bank.folder / name).stat()
        assert stat.st_size == size
        assert stat.st_blocks * 512 >= size, f'{name} is sparse: a full disk would kill the run'


def test_little_of_it_is_resident(tmp_path: Path) -> None:
    """After every page was read and written, the mapped pages are a small part of the files."""
    size, count = (256, 512), 64
    identity = dataclasses.replace(
        IDENTITY, crop_size=(256, 256), frames=tuple(map(str, range(count)))
    )
    labels = (np.full(size, i % 5, np.uint8) for i in range(count))
    bank = LabelBank.create(tmp_path / 'bank', identity, [size] * count, labels)
    box = Box(0, 256, 100, 356)
    confidence = np.full(box.size, 0.5, np.float16)
    for i in range(count):
        bank.write_label(i, box, bank.read_label(i, box))
        bank.keep(i, i, Kept(box, np.zeros(box.size, np.uint8), confidence))
        bank.kept(i)
    assert resident(bank.folder) < 1e6
    bank.close()
    bank = LabelBank(bank.folder, identity)  # reads all that was kept
    assert resident(bank.folder) < 1e6
    assert sum(bank.layout.file_bytes.values()) > 20e6
    bank.close()


def resident(folder: Path) -> int:
    """Bytes of the mappings of files in ``folder`` that are in this process's memory."""
    total, counts = 0, False
    for line in Path('/proc/self/smaps').read_text().splitlines():
        if re.match(r'[0-9a-f]+-', line):
            counts = str(folder) in line
        elif counts and line.startswith('Rss:'):
            total += int(line.split()[1]) * 1024
    return total


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'pseudo_label_dir': '/others'}, 'its pseudo_label_dir is /pseudo, this run has /others'),
        ({'num_classes': 4}, 'its num_classes is 5, this run has 4'),
        ({'crop_size': (8, 8)}, r'its crop_size is \(16, 16\), this run has \(8, 8\)'),
        ({'resize': 'Resize(2)'}, r'its resize is none, this run has Resize\(2\)'),
        ({'frames': ('a.png', 'b.png')}, '3 frames, the data set 2, and .* for example c.png'),
        ({'frames': ('b.png', 'a.png', 'c.png')}, 'they differ in another order'),
    ],
)
def test_bank_of_another_run_is_refused(bank: LabelBank, change: dict, message: str) -> None:
    bank.close()
    with pytest.raises(UserError, match=f'{bank.folder} belongs to another .*{message}.*work-dir'):
        LabelBank(bank.folder, dataclasses.replace(IDENTITY, **change))


@pytest.mark.parametrize('name', ['labels.u8', 'confidences.f16', 'index.i64'])
def test_truncated_file_is_refused(bank: LabelBank, name: str) -> None:
    """Mapping it would end in SIGBUS."""
    bank.close()
    os.truncate(bank.folder / name, 100)
    with pytest.raises(UserError, match=f'{bank.folder} is damaged: {name} has 100 instead of'):
        LabelBank(bank.folder, IDENTITY)


@pytest.mark.parametrize('text', [None, '', '{"identity": ', '[]', '{"frame_sizes": []}'])
def test_damaged_description_is_refused(bank: LabelBank, text: str | None) -> None:
    bank.close()
    meta = bank.folder / 'meta.json'
    meta.unlink() if text is None else meta.write_text(text)
    with pytest.raises(UserError, match=f'{bank.folder} is damaged: .*another --work-dir'):
        LabelBank(bank.folder, IDENTITY)


def test_impossible_index_is_refused(bank: LabelBank) -> None:
    bank.close()
    index = np.memmap(bank.folder / 'index.i64', np.int64, 'r+')
    index[:5] = 0, 500, 0, 10, 3
    index.flush()
    with pytest.raises(UserError, match=f'{bank.folder} is damaged: .*outside of frame 0'):
        LabelBank(bank.folder, IDENTITY)


def test_no_space_leaves_nothing_behind(tmp_path: Path, labels, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, 'posix_fallocate', full)
    with pytest.raises(UserError, match=r'bank \(\d.* kB\): No space left on device.*--work-dir'):
        LabelBank.create(tmp_path / 'bank', IDENTITY, SIZES, labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('size', 'text'),
    [(9, '9 bytes'), (4_200, '4.2 kB'), (98_304_000, '98.3 MB'), (3_900_000_000, '3.9 GB')],
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert size_text(size) == text


def test_failure_while_filling_leaves_nothing_behind(tmp_path: Path, labels) -> None:
    def bad_labels():
        yield labels[0]
        raise UserError('b.png is damaged')

    with pytest.raises(UserError, match=r'b\.png is damaged'):
        LabelBank.create(tmp_path / 'bank', IDENTITY, SIZES, bad_labels())
    assert list(tmp_path.iterdir()) == []


def test_leftover_of_a_killed_run_is_replaced(tmp_path: Path, labels) -> None:
    part = tmp_path / '.bank.part'
    part.mkdir()
    (part / 'labels.u8').write_bytes(b'half')
    bank = LabelBank.create(tmp_path / 'bank', IDENTITY, SIZES, labels)
    np.testing.assert_array_equal(bank.read_label(1, Box(0, 8, 0, 40)), labels[1])
    assert [p.name for p in tmp_path.iterdir()] == ['bank']


def test_existing_folder_is_not_replaced(bank: LabelBank, labels) -> None:
    before = (bank.folder / 'labels.u8').read_bytes()
    with pytest.raises(UserError, match='cannot write the label bank'):
        LabelBank.create(bank.folder, IDENTITY, SIZES, [label * 0 for label in labels])
    assert (bank.folder / 'labels.u8').read_bytes() == before


def test_description_says_what_it_belongs_to(bank: LabelBank) -> None:
    meta = json.loads((bank.folder / bank_module.META).read_text())
    assert meta['identity']['frames'] == ['a.png', 'b.png', 'c.png']
    assert meta['identity']['pseudo_label_dir'] == '/pseudo'
    assert meta['frame_sizes'] == [list(size) for size in SIZES]
