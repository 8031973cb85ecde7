import numpy as np
import pytest
from cityscapesscripts.helpers.labels import id2label, labels
from mmseg.datasets import CityscapesDataset
from PIL import Image
from raw_labels import (
    GTA_PALETTE,
    classes_of_synthia,
    write_grey,
    write_gta,
    write_rgb,
    write_synthia,
)

from mmseg_uvpt.datasets import label_encodings
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.label_encodings import (
    CITYSCAPES_TO_TRAIN_ID,
    CLASSES,
    PALETTE,
    SYNTHIA_TO_TRAIN_ID,
    read_cityscapes_label,
    read_gta_label,
    read_synthia_label,
    read_train_ids,
    to_train_ids,
)

SYNTHIA_IDS = {
    3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11, 17: 12, 8: 13,
    18: 14, 19: 15, 20: 16, 12: 17, 11: 18,
}  # fmt: skip
READERS = {
    'gta': (read_gta_label, write_gta),
    'synthia': (read_synthia_label, write_synthia),
    'cityscapes': (read_cityscapes_label, write_grey),
    'train ids': (read_train_ids, write_grey),
}
PATCHES = np.kron(np.arange(12).reshape(3, 4) + 1, np.ones((20, 30), int))


def by_masks(raw, table):
    """Translate one id after the other: slow, and without a lookup table."""
    label = np.full(raw.shape, 255)
    for raw_id, train_id in table.items():
        label[raw == raw_id] = train_id
    return label


def test_classes_and_colours_are_those_of_mmseg():
    assert CityscapesDataset.METAINFO['classes'] == CLASSES
    assert [list(colour) for colour in PALETTE] == CityscapesDataset.METAINFO['palette']


def test_cityscapes_table_is_that_of_the_data_set():
    expected = {label.id: label.trainId for label in labels if label.id >= 0}
    for i in range(256):
        assert CITYSCAPES_TO_TRAIN_ID[i] == expected.get(i, 255)


def test_synthia_table():
    assert SYNTHIA_TO_TRAIN_ID.tolist() == [SYNTHIA_IDS.get(i, 255) for i in range(256)]


@pytest.mark.parametrize('frame', ['00162', '07428'])
def test_real_gta_label(shared_samples, frame):
    path = shared_samples / f'gta/labels/{frame}.png'
    with Image.open(path) as image:
        colours = np.array(image.convert('RGB')).astype(int) @ [65536, 256, 1]
        indices = np.array(image)
    raw = read_gta_label(path)
    np.testing.assert_array_equal(raw, indices)
    train_ids = to_train_ids(raw, CITYSCAPES_TO_TRAIN_ID)
    assert len(np.unique(train_ids)) > 10
    for train_id in np.setdiff1d(np.unique(train_ids), [255]):  # colours tell the same classes
        colour = np.array(PALETTE[train_id]) @ [65536, 256, 1]
        np.testing.assert_array_equal(train_ids == train_id, colours == colour)


def test_real_synthia_label(shared_samples):
    path = shared_samples / 'synthia/GT/LABELS/0000000.png'
    with Image.open(path) as image:
        assert not np.array(image).any()  # what a reader that trusts Pillow would get
    expected = classes_of_synthia(path)
    raw = read_synthia_label(path)
    assert raw.dtype == np.uint8
    np.testing.assert_array_equal(raw, expected)
    np.testing.assert_array_equal(
        to_train_ids(raw, SYNTHIA_TO_TRAIN_ID), by_masks(expected, SYNTHIA_IDS)
    )


@pytest.mark.parametrize('by_pairs', sorted({False, label_encodings._HAS_TABLES_OF_16_BITS}))
@pytest.mark.parametrize('shape', [(256, 256), (3, 4), (3, 5), (2, 5), (1, 1)])
def test_every_byte_is_translated_at_every_place(monkeypatch, by_pairs, shape):
    monkeypatch.setattr(label_encodings, '_HAS_TABLES_OF_16_BITS', by_pairs)
    raw = np.add.outer(np.arange(shape[0] + 1), np.arange(2 * shape[1])).astype(np.uint8)
    for part in (raw[:-1, : shape[1]], raw[1:, ::2], raw[1:, : shape[1]].copy()):
        found = to_train_ids(part, CITYSCAPES_TO_TRAIN_ID)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, CITYSCAPES_TO_TRAIN_ID[part])


def test_real_cityscapes_label(shared_samples):
    paths = sorted((shared_samples / 'cityscapes/gtFine').rglob('*_labelIds.png'))
    assert len(paths) == 7
    table = {label_id: label.trainId for label_id, label in id2label.items() if label_id >= 0}
    for path in paths[:2]:
        with Image.open(path) as image:
            expected = by_masks(np.array(image), table)
        found = to_train_ids(read_cityscapes_label(path), CITYSCAPES_TO_TRAIN_ID)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize('kind', READERS)
def test_written_label_is_read(tmp_path, kind):
    read, write = READERS[kind]
    write(tmp_path / 'a.png', PATCHES)
    label = read(tmp_path / 'a.png')
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, PATCHES)


@pytest.mark.parametrize('kind', READERS)
def test_damaged_label_is_refused(tmp_path, kind):
    read, write = READERS[kind]
    path = tmp_path / 'damaged.png'
    write(path, PATCHES)
    whole = path.read_bytes()
    for length in (0, 4, 30, len(whole) // 2, len(whole) - 12, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r'damaged\.png is not a whole PNG'):
            read(path)
    flipped = bytearray(whole)
    flipped[whole.index(b'IDAT') + 8] ^= 0xFF
    path.write_bytes(flipped)
    with pytest.raises(DataError, match=r'damaged\.png is not a whole PNG'):
        read(path)
    path.unlink()
    with pytest.raises(DataError, match=r'damaged\.png does not exist'):
        read(path)


def test_real_truncated_labels_are_refused(tmp_path, shared_samples):
    for read, name in (
        (read_gta_label, 'gta/labels/00162.png'),
        (read_synthia_label, 'synthia/GT/LABELS/0000000.png'),
    ):
        whole = (shared_samples / name).read_bytes()
        (tmp_path / 'cut.png').write_bytes(whole[: 3 * len(whole) // 4])
        with pytest.raises(DataError, match=r'cut\.png is not a whole PNG'):
            read(tmp_path / 'cut.png')


def test_gta_label_of_colours_is_refused(tmp_path):
    path = tmp_path / 'a.png'
    write_rgb(path, np.full((4, 4, 3), 70))
    with pytest.raises(DataError, match=r'a\.png: a palette PNG is wanted.*3 of 8 bits'):
        read_gta_label(path)
    write_grey(path, PATCHES)
    with pytest.raises(DataError, match='this one has 1 of 8 bits'):
        read_gta_label(path)


def test_gta_label_with_another_palette_is_refused(tmp_path, shared_samples):
    path = tmp_path / 'a.png'
    with Image.open(shared_samples / 'gta/labels/00162.png') as image:
        image.convert('RGB').quantize(64).save(path)  # the picture is the same, not the indices
    with pytest.raises(DataError, match='re-saved with another palette'):
        read_gta_label(path)
    write_gta(path, PATCHES, GTA_PALETTE[:24])
    with pytest.raises(DataError, match=r'index 8 should be sidewalk.*has the colour \(\)'):
        read_gta_label(path)


def test_gta_knows_35_ids(tmp_path):
    write_gta(tmp_path / 'a.png', np.full((4, 4), 34))
    assert read_gta_label(tmp_path / 'a.png').max() == 34
    write_gta(tmp_path / 'a.png', np.full((4, 4), 40))
    with pytest.raises(DataError, match=r'ids 0\.\.34, this one also \[40\]'):
        read_gta_label(tmp_path / 'a.png')


def test_synthia_label_of_zeros_is_refused(tmp_path):
    instances = np.arange(16).reshape(4, 4)
    write_synthia(tmp_path / 'a.png', np.zeros((4, 4), int), instances)
    with pytest.raises(DataError, match='every pixel is 0'):
        read_synthia_label(tmp_path / 'a.png')


def test_synthia_label_of_another_encoding_is_refused(tmp_path):
    path = tmp_path / 'a.png'
    write_rgb(path, np.full((4, 4, 3), 70))
    with pytest.raises(DataError, match='three channels of 16 bits, this one has 3 of 8 bits'):
        read_synthia_label(path)
    write_grey(path, PATCHES)
    with pytest.raises(DataError, match='this one has 1 of 8 bits'):
        read_synthia_label(path)
    write_synthia(path, np.full((4, 4), 300))  # its low byte, 44, is no id either
    with pytest.raises(DataError, match=r'ids 0\.\.22, this one also \[300\]'):
        read_synthia_label(path)


def test_cityscapes_label_of_another_kind_is_refused(tmp_path):
    path = tmp_path / 'a_gtFine_labelIds.png'
    write_rgb(path, np.full((4, 4, 3), 70))
    with pytest.raises(DataError, match='one channel of 8 bits, this one has 3 of 8 bits'):
        read_cityscapes_label(path)
    write_grey(path, np.array([[0, 255], [18, 3]]))  # train ids under the wrong name
    with pytest.raises(DataError, match=r'ids 0\.\.33, this one also \[255\]'):
        read_cityscapes_label(path)


def test_train_ids_outside_the_classes_are_refused(tmp_path):
    path = tmp_path / 'a_labelTrainIds.png'
    write_grey(path, np.array([[0, 255], [18, 3]]))
    assert read_train_ids(path).tolist() == [[0, 255], [18, 3]]
    write_grey(path, np.array([[0, 255], [19, 254]]))
    with pytest.raises(DataError, match=r'a_labelTrainIds\.png.*\[19, 254\] are outside'):
        read_train_ids(path)
    assert read_train_ids(path, 255).tolist() == [[0, 255], [19, 254]]
    with pytest.raises(DataError, match=r'\[254\] are outside 0\.\.253 and 255'):
        read_train_ids(path, 254)
