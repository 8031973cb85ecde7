"""The backends, each as a parameter."""

import pytest

from mmseg_uvpt.ops import backends

DEVICES = {'reference': 'cpu', 'cpp': 'cpu', 'cuda': 'cuda'}
COMPILED = ['cpp', pytest.param('cuda', marks=pytest.mark.gpu)]
ALL = ['reference', *COMPILED]


def pytest_generate_tests(metafunc):
    for fixture, names in (('backend', ALL), ('compiled', COMPILED)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, names, indirect=True)


def _device_of(name: str) -> str:
    if name != 'reference' and backends.missing[name]:
        leave = pytest.fail if name == 'cuda' else pytest.skip  # make gpu-check is for this
        leave(f'{name} is not built: {backends.missing[name]}')
    return DEVICES[name]


@pytest.fixture
def backend(request):
    """Force a backend; return the device that it serves."""
    device = _device_of(request.param)
    with backends.forced(request.param):
        yield device


@pytest.fixture
def compiled(request) -> tuple[str, str]:
    """Return the name of a compiled backend and the device that it serves."""
    return request.param, _device_of(request.param)
