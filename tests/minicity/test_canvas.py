import numpy as np
import pytest

from mmseg_uvpt.minicity.canvas import Canvas


def square(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def test_label_covers_the_pixels_inside():
    canvas = Canvas(20, 30)
    canvas.claim('car', [square(5, 4, 15, 10)], 7.0)
    expected = np.zeros((20, 30), bool)
    expected[4:10, 5:15] = True
    differing = (canvas.label_ids == 26) != expected
    assert differing.sum() <= 2 * (10 + 6)  # at most the boundary on one side
    assert (canvas.label_ids[5:9, 6:14] == 26).all()
    assert (canvas.depth[canvas.label_ids == 26] == 7).all()
    assert np.isinf(canvas.depth[canvas.label_ids == 0]).all()


def test_later_things_cover_earlier_ones():
    canvas = Canvas(20, 30)
    canvas.claim('road', [square(0, 0, 30, 20)], 5.0)
    canvas.claim('car', [square(5, 5, 20, 15)], 4.0)
    canvas.claim('person', [square(10, 5, 12, 15)], 3.0)
    assert canvas.label_ids[10, 11] == 24
    assert canvas.label_ids[10, 7] == 26
    assert [name for name, _ in canvas.polygons] == ['road', 'car', 'person']


@pytest.mark.parametrize(
    'outline', [square(-50, -9, -3, 7), square(5, 400, 9, 500), square(1e7, 3, 1e8, 9)]
)
def test_what_is_out_of_the_frame_leaves_no_trace(outline):
    canvas = Canvas(20, 30)
    canvas.claim('car', [outline], 1.0)
    canvas.paint([outline], (255, 0, 0))
    assert not canvas.label_ids.any()
    assert not canvas.picture().any()
    assert not canvas.polygons


def test_colour_lies_where_the_label_lies():
    canvas = Canvas(20, 30)
    outline = np.array([[4.3, 3.1], [24.8, 6.2], [12.2, 17.9]])
    canvas.claim('car', [outline], 1.0)
    canvas.paint([outline], (200, 0, 0))
    red = canvas.picture()[..., 0]
    assert ((red >= 100) == (canvas.label_ids == 26)).mean() > 0.98
