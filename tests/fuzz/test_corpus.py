"""What the fuzzers once found stays mended."""

from pathlib import Path

import pytest
from targets import TARGETS

CORPUS = Path(__file__).with_name('corpus')
FOUND = [path for name in TARGETS for path in sorted((CORPUS / name).glob('*'))]


@pytest.mark.parametrize('path', FOUND, ids=lambda path: f'{path.parent.name}-{path.name}')
def test_found_by_a_fuzzer(path):
    TARGETS[path.parent.name].run(path.read_bytes())


@pytest.mark.parametrize('name', TARGETS)
def test_what_the_fuzzers_begin_with(name):
    seeds = list(TARGETS[name].seeds())
    assert seeds
    for seed in seeds:
        TARGETS[name].run(TARGETS[name].repair(seed))
