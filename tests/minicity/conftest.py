"""Frames that several tests look at."""

import cv2
import pytest

from mmseg_uvpt.minicity import CITYSCAPES, GTA, render


@pytest.fixture(scope='session')
def game():
    """Eight frames in the rendered look."""
    cv2.setNumThreads(1)
    return [render(3, index, GTA) for index in range(8)]


@pytest.fixture(scope='session')
def photo():
    """The first four of these streets in the photographic look."""
    cv2.setNumThreads(1)
    return [render(3, index, CITYSCAPES) for index in range(4)]
