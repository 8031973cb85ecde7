"""Candidates on the disk, and the table of them, from which a resumed run goes on."""

import pytest
import torch

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.selection.candidate_files import CandidateFiles
from mmseg_uvpt.selection.committee import Candidate

ROWS = [
    Candidate(0, {'ensemble': 91.25, 'information': 0.1}, 40.5, (38.0, 43.25)),
    Candidate(200, {'ensemble': 100.0}),
    Candidate(400, {}, 41.0),
]


@pytest.fixture
def files(tmp_path):
    found = CandidateFiles(tmp_path)
    found.begin()
    for row in ROWS:
        found.save(row.iteration, {'w': torch.full((2,), row.iteration)}, [torch.zeros(2, 2)])
    found.write_table(ROWS)
    return found


def test_the_table_is_read_as_it_was_written(files, tmp_path):
    assert files.read_table(1000) == ROWS
    assert files.read_table(400) == ROWS[:2]  # that of the iteration itself is made again
    lines = (tmp_path / 'candidates.csv').read_text().splitlines()
    assert lines[0].startswith('iteration,agreement_source,')
    assert len(lines) == 4


def test_what_is_not_whole_is_no_run_to_go_on_with(files, tmp_path):
    (tmp_path / 'candidates/candidate_200.pth').unlink()
    assert files.read_table(1000) is None
    assert files.read_table(200) == ROWS[:1]
    files.remove()
    assert files.read_table(1000) is None
    assert CandidateFiles(tmp_path / 'other').read_table(1000) is None


def test_a_damaged_table(files, tmp_path):
    (tmp_path / 'candidates.csv').write_text('iteration,ensemble\n0,nan\n')
    with pytest.raises(UserError, match=r'candidates.csv is damaged'):
        files.read_table(1000)


@pytest.mark.parametrize('contents', [b'', b'a text', bytes(1000)])
def test_a_damaged_file(files, tmp_path, contents):
    (tmp_path / 'candidates/candidate_0.pth').write_bytes(contents)
    with pytest.raises(UserError, match='cannot be read'):
        files.weights(0)
    assert files.weights(200)['w'].tolist() == [200, 200]


def test_sums_are_kept_as_long_as_a_run_may_go_on_from_them(tmp_path):
    files = CandidateFiles(tmp_path)
    (tmp_path / 'iter_4-1562b197.pth').touch()  # as mmengine publishes one

    def kept() -> list[int]:
        return sorted(int(p.stem[5:]) for p in (tmp_path / 'candidates').glob('sums_*.pth'))

    files.save_sums(0, [torch.zeros(1)])
    files.save_sums(4, [torch.zeros(1)])
    assert kept() == [0, 4]  # of a run told to stop during an evaluation, iter_4.pth may follow
    (tmp_path / 'iter_8.pth').touch()
    files.save_sums(8, [torch.zeros(1)])  # resumed at 8, this one is made again from 4
    assert kept() == [4, 8]
    (tmp_path / 'iter_10.pth').touch()
    files.save_sums(12, [torch.ones(1)])
    assert kept() == [4, 8, 12]
    (tmp_path / 'iter_8.pth').unlink()
    files.save_sums(16, [torch.ones(1)])
    assert kept() == [8, 12, 16]
    assert files.sums(16)[0].tolist() == [1]


def test_begin_leaves_nothing_of_another_run(files, tmp_path):
    files.begin()
    assert list(tmp_path.iterdir()) == []


def test_candidates_of_other_images_are_none_to_go_on_with(files):
    assert files.read_table(1000, [('a.png', 2, 2)]) == ROWS  # of a run that did not note them
    files.save_images([('a.png', 2, 2), ('b.png', 2, 2)])
    assert files.read_table(1000, [('a.png', 2, 2), ('b.png', 2, 2)]) == ROWS
    for others in ([('a.png', 2, 2)], [('a.png', 2, 2), ('b.png', 4, 2)]):
        assert files.read_table(1000, others) is None
