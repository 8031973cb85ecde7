import json

import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import labels
from cityscapesscripts.preparation.json2labelImg import createLabelImage

from mmseg_uvpt.datasets.cityscapes_labels import LABELS
from mmseg_uvpt.datasets.conversion.polygons import polygons_size, read_cityscapes_polygons
from mmseg_uvpt.datasets.files.data_error import DataError


def annotation(*objects):
    """Return the text of an annotation of 40 x 20 pixels; an object is (label, box, deleted)."""
    items = [
        {'label': label, 'deleted': deleted, 'polygon': [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
        for label, (x0, y0, x1, y1), deleted in objects
    ]
    return json.dumps({'imgWidth': 40, 'imgHeight': 20, 'objects': items})


def test_polygons_are_drawn_in_their_order(tmp_path):
    path = tmp_path / 'a_gtFine_polygons.json'
    path.write_text(
        annotation(
            ('road', (0, 10, 39, 19), 0),
            ('sky', (0, 0, 39, 4), 0),
            ('cargroup', (5, 8, 14, 15), 0),  # a group counts as its members
            ('bus', (20, 8, 30, 15), 1),  # deleted by the annotators
            ('license plate', (8, 10, 10, 11), 0),  # id -1: not drawn
        )
    )
    expected = np.zeros((20, 40), int)
    expected[10:20] = 7
    expected[0:5] = 23
    expected[8:16, 5:15] = 26
    label = read_cityscapes_polygons(path)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected)
    assert polygons_size(path) == (20, 40)


def test_unknown_label_is_refused_without_ending_the_process(tmp_path):
    path = tmp_path / 'a.json'
    path.write_text(annotation(('spaceship', (0, 0, 5, 5), 0)))
    with pytest.raises(DataError, match=r"a\.json.*'spaceship'"):
        read_cityscapes_polygons(path)


@pytest.mark.parametrize(
    'text',
    [
        annotation(('road', (0, 0, 5, 5), 0))[:-30],
        '{"imgWidth": 40, "imgHeight": 20}',
        '[]',
        '{"imgWidth": 4, "imgHeight": 2, "objects": [{"label": "road", "polygon": [[1, 1]]}]}',
        '{"imgWidth": 4, "imgHeight": 2, "objects": [{"label": "road", "polygon": [["a", 1]]}]}',
    ],
    ids=['truncated', 'no objects', 'a list', 'one point', 'no numbers'],
)
def test_file_that_is_no_annotation_is_refused(tmp_path, text):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(DataError, match=r'a\.json is not an annotation'):
        read_cityscapes_polygons(path)


def test_labels_are_those_of_the_data_set():
    ours = [(label.name, label.id, label.colour, label.has_instances) for label in LABELS]
    assert ours == [(label.name, label.id, label.color, label.hasInstances) for label in labels]


def test_drawn_as_by_the_data_set_s_program(tmp_path):
    """Any polygons: their edges are those of Pillow there and here."""
    draw, path = np.random.default_rng(0), tmp_path / 'a_gtFine_polygons.json'
    names = draw.choice([*(label.name for label in LABELS), 'cargroup', 'persongroup'], 200)
    objects = [
        {'label': str(name), 'polygon': draw.integers(-9, 210, (draw.integers(3, 9), 2)).tolist()}
        for name in names
    ]
    path.write_text(json.dumps({'imgWidth': 200, 'imgHeight': 100, 'objects': objects}))
    annotation = Annotation()
    annotation.fromJsonFile(str(path))
    expected = np.array(createLabelImage(annotation, 'ids'))
    assert len(np.unique(expected)) > 15
    np.testing.assert_array_equal(read_cityscapes_polygons(path), expected)
