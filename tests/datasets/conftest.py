"""What all tests of data share."""

import pytest
from mmengine.registry import init_default_scope

import mmseg_uvpt.register  # noqa: F401


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')
