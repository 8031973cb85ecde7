"""A work folder of the test's own."""

import pytest
from made_up_runs import write


@pytest.fixture
def work_folder(tmp_path):
    """Return a function that writes the folder, with some of its files otherwise, or without."""
    return lambda **changes: write(tmp_path / 'run', changes)
