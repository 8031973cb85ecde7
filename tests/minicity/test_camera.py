import numpy as np
import pytest

from mmseg_uvpt.minicity.camera import Camera, Street


def test_projection_by_hand():
    camera = Camera(width=512, height=256, focal=400.0, horizon=100.0, eye=1.5)
    # 2 m right and 1.5 m below the eye at 10 m: 80 pixels right, 60 below the horizon.
    assert camera.project(np.array([2.0, 0.0, 10.0])) == pytest.approx([336.0, 160.0])
    # The eye's height is on the horizon at any distance.
    assert camera.project(np.array([0.0, 1.5, 55.0])) == pytest.approx([256.0, 100.0])


@pytest.mark.parametrize('rise', [-0.4, 0.0, 2.0])
def test_ground_depth_inverts_the_projection(rise):
    street = Street(yaw=0.03, bend=0.004, rise=rise)
    camera = Camera(width=512, height=256, focal=400.0, horizon=100.0, eye=1.3)
    depth = camera.ground_depth(street)
    for z in (4.0, 11.0, 30.0):
        row = camera.project(street.world(1.0, 0.0, z))[1]
        assert depth[int(row)] == pytest.approx(z, rel=0.12)


def test_bend_and_yaw_shift_the_road_sideways():
    street = Street(yaw=0.1, bend=0.01, rise=0.0)
    assert street.world(2.0, 0.5, 20.0) == pytest.approx([2 + 2 + 0.5 * 0.01 * 400, 0.5, 20.0])
