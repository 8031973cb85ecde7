"""What a criterion was worth over recorded runs."""

import json
import runpy
from pathlib import Path

import pytest
from scipy.stats import spearmanr

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.selection.ranking import rank_all, read_run, spearman

TOOL = Path(__file__).resolve().parents[2] / 'tools/selection_report.py'


def write(folder: Path, ensemble, scores, guarded: int) -> Path:
    folder.mkdir()
    candidates = [
        {'iteration': 100 * i, 'criteria': {'ensemble': e}, 'score': score}
        for i, (e, score) in enumerate(zip(ensemble, scores, strict=True))
    ]
    choices = {'guarded': {'iteration': guarded}, 'last': {'iteration': 100 * (len(scores) - 1)}}
    record = {'candidates': candidates, 'choices': choices}
    (folder / 'selection.json').write_text(json.dumps(record))
    return folder


@pytest.fixture
def folders(tmp_path):
    return [
        write(tmp_path / 'a', (1.0, 3.0, 2.0, 2.0), (40.0, 45.0, 41.0, 44.0), guarded=100),
        write(tmp_path / 'b', (1.0, 2.0, 3.0, 0.0), (40.0, 39.0, 38.0, 42.0), guarded=0),
    ]


def test_correlations_and_gains(folders):
    runs = [read_run(folder) for folder in folders]
    found = {ranking.name: ranking for ranking in rank_all(runs)}
    assert list(found) == ['ensemble', 'committee', 'guarded', 'last']
    expected = [
        spearmanr([c.criteria['ensemble'] for c in run.candidates], [c.score for c in run[0]])[0]
        for run in runs
    ]
    assert found['ensemble'].correlations == pytest.approx(expected)
    assert found['ensemble'].gains == [5.0, -2.0]
    assert found['guarded'].gains == [5.0, 0.0]
    assert found['last'].gains == [4.0, 2.0]
    adapted = [
        spearmanr([c.criteria['ensemble'] for c in run[1:]], [c.score for c in run[1:]])[0]
        for run, _ in runs
    ]
    assert found['committee'].correlations == pytest.approx(adapted)  # of one that can be taken
    assert found['committee'].gains == [5.0, -2.0]
    assert spearman([1, 1], [1, 2]) is None


def test_the_committee_counts_classes_that_vanished(folders):
    """Where a run says which: in the first one the ensemble alone would prefer iteration 100."""
    path = folders[0] / 'selection.json'
    record = json.loads(path.read_text())
    record['candidates'][1]['vanished'] = ['bus', 'train']
    record['candidates'][2]['criteria']['ensemble'] = 2.5
    path.write_text(json.dumps(record))
    found = {ranking.name: ranking for ranking in rank_all([read_run(folders[0])])}
    assert found['ensemble'].gains == [5.0]
    assert found['committee'].gains == [1.0]


def test_a_run_in_which_nothing_was_judged_says_nothing_of_the_committee(folders, tmp_path):
    folder = write(tmp_path / 'c', (1.0, 2.0), (40.0, 30.0), guarded=0)
    record = json.loads((folder / 'selection.json').read_text())
    for candidate in record['candidates']:
        candidate['criteria'] = {}
    (folder / 'selection.json').write_text(json.dumps(record))
    found = {ranking.name: ranking for ranking in rank_all([*map(read_run, [*folders, folder])])}
    assert len(found['committee'].gains) == 2
    assert len(found['last'].gains) == 3


def test_the_tool(folders, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, folders)])
    runpy.run_path(str(TOOL))['main']()
    text = capsys.readouterr().out
    (row,) = [line for line in text.splitlines() if line.startswith('| ensemble')]
    assert row.endswith('| 2 | +1.50 | -2.00 | 1 of 2 |')
    assert '2 runs of 4 to 4 candidates' in text
    assert 'The guard kept what a run began with in 1; 1 of these had something better.' in text


def test_records_that_do_not_serve(folders, tmp_path):
    with pytest.raises(UserError, match='name the work folder of an adaptation'):
        read_run(tmp_path / 'nothing')
    path = folders[0] / 'selection.json'
    record = json.loads(path.read_text())
    record['candidates'][1]['score'] = None
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match='not all candidates have a score by labels'):
        read_run(folders[0])
    path.write_text('{}')
    with pytest.raises(UserError, match='is damaged'):
        read_run(folders[0])
