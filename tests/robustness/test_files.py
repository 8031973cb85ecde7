"""Whatever a file is, reading it ends in its contents, in a clear error, or in a reported skip."""

import matrix
import page
import pytest
from readers import READERS, Reader


@pytest.fixture(scope='module', autouse=True)
def _folder():
    yield
    matrix.remove_all()


def _name(reader: Reader) -> str:
    return f'{reader.name} ({reader.kind})'


@pytest.mark.parametrize('reader', READERS, ids=_name)
def test_damaged_files(reader):
    wrong = {}
    for damage in matrix.damages_of(reader):
        try:
            found = matrix.outcome(reader, damage)
            assert found in ('error', 'read', reader.rule, reader.missing)
        except Exception as error:
            wrong[damage.name] = error
    assert not wrong


@pytest.mark.parametrize('reader', READERS, ids=_name)
@pytest.mark.parametrize('name', matrix.NAMES.values(), ids=matrix.NAMES.keys())
def test_odd_name(reader, name):
    assert matrix.outcome_under(reader, name) in ('read', 'error')


@pytest.mark.parametrize('reader', [r for r in READERS if r.kind == 'json'], ids=_name)
def test_values_of_other_types(reader):
    assert matrix.outcomes_of_values(reader).keys() <= {'error', 'read', reader.rule}


def test_page_is_up_to_date():
    text = page.PAGE.read_text()
    assert page.updated(text) == text, 'run: python tests/robustness/page.py'
