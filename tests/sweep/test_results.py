"""The table of results."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep.results_table import Run, collect
from mmseg_uvpt.sweep.table_formats import to_csv, to_json, to_markdown
from mmseg_uvpt.tables import END, update_page

BEGIN = '<!-- made by tools/results_table.py -->'

REPOSITORY = Path(__file__).resolve().parents[2]
CONFIGS = REPOSITORY / 'configs'
GTA, SYNTHIA = 'sss_swin-b_gta5', 'source-gta_mit-b5_synthia'
SWIN = 'sss_swin-b_gta5-to-cityscapes'  # of ablations
# mIoU19, mIoU16, mIoU13 of two seeds
SOURCE, ADAPTED = [(50.0, 51.0, 52.0), (50.4, 51.2, 52.2)], [(56.0, 57.0, 58.0), (57.4, 57.6, 58.4)]


START = {'started': '2026-01-01T10:00:05+00:00'}


def write(path: Path, contents: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(contents))


def scores(means, checkpoint='model.pth') -> dict:
    named = dict(zip(('mIoU19', 'mIoU16', 'mIoU13'), means, strict=True))
    return {**named, 'mIoU': means[0], 'checkpoint': checkpoint}


@pytest.fixture
def work_root(tmp_path) -> Path:
    """Two seeds of one row, the second resumed; one seed of another row, source-only."""
    for seed in (0, 1):
        folder = tmp_path / f'seed{seed}'
        write(folder / f'test_source/{GTA}/score.json', scores(SOURCE[seed]))
        write(folder / f'test/{GTA}/score.json', scores(ADAPTED[seed], f'best{seed}.pth'))
        training = folder / f'train/{GTA}'
        starts, end = [START] * (seed + 1), f'2026-01-0{seed + 1}T16:00:05+00:00'
        write(training / 'run.json', {'starts': starts, 'finished': end, 'iterations': 80000})
        write(training / 'environment.json', {'processors': '16', 'GPU 0,1': 'NVIDIA H100'})
        candidates = [(0, 50.0), (40, 57.0 + seed), (80, 56.0)]
        choices = {'last': 80, 'guarded': 0, 'target labels': 40}
        selection = {
            'metric': 'mIoU19',
            'candidates': [{'iteration': i, 'score': score} for i, score in candidates],
            'choices': {rule: {'iteration': i} for rule, i in choices.items()},
        }
        write(training / 'selection.json', selection)
        for start, hours in (('20260101_100000', 6), ('20260102_100000', 2))[: seed + 1]:
            log = training / start / 'vis_data/scalars.json'
            write(log, {})
            begin = 1767261600 + (86400 if start.startswith('20260102') else 0)
            os.utime(log, (begin + 3600 * hours,) * 2)
    write(tmp_path / f'seed0/test_source/{SYNTHIA}/score.json', scores((40, 50.5, 56.5)))
    return tmp_path


@pytest.fixture(autouse=True)
def zone_of_the_reader(monkeypatch):
    """Another time zone than that of the records."""
    with monkeypatch.context() as patch:
        patch.setenv('TZ', 'Asia/Tokyo')
        time.tzset()
        yield
    time.tzset()


def record(results, config: str, classes: int) -> dict:
    table = json.loads(to_json(results))['table']
    (found,) = (r for r in table if r['config'].startswith(config) and r['classes'] == classes)
    return found


@pytest.mark.parametrize(('place', 'classes'), [(0, 19), (1, 16), (2, 13)])
def test_means_and_deviations_over_seeds(work_root, place, classes):
    found = record(collect(CONFIGS, [work_root]), GTA, classes)
    source = [means[place] for means in SOURCE]
    adapted = [means[place] for means in ADAPTED]
    gains = [b - a for a, b in zip(source, adapted, strict=True)]
    for name, values in (('source_only', source), ('adapted', adapted), ('gain', gains)):
        assert found[name] == pytest.approx(mean(values))
        assert found[f'{name}_deviation'] == pytest.approx(stdev(values))
    chosen = [found[f'chosen by {rule}'] for rule in ('last', 'guarded', 'target labels')]
    assert chosen == ([56, 50, 57.5] if classes == 19 else [None] * 3)  # as its selection went by
    assert found['seeds'] == [0, 1]
    assert found['iterations'] == [80000]
    assert found['hours'] == pytest.approx((6 + 8) / 2)
    assert found['hardware'] == ['2 x NVIDIA H100']


def test_a_copy_says_the_same_hours(work_root):
    """Files have other times then, which the seed that had several starts is told by."""
    for path in work_root.rglob('*'):
        if path.is_file():
            os.utime(path)
    hours = [run.hours for run in collect(CONFIGS, [work_root])[0].runs]
    assert hours == pytest.approx([6, 30])  # between the first start and the end


@pytest.mark.parametrize(
    ('entry', 'value'), [('aug_test', True), ('frames', 7), ('checkpoint', 'other.pth')]
)
def test_scores_of_two_kinds_have_no_difference(work_root, entry, value):
    path = work_root / f'seed0/test_source/{GTA}/score.json'
    write(path, json.loads(path.read_text()) | {entry: value})
    run = work_root / f'seed0/train/{GTA}/run.json'
    start = START | {'command': 'python train.py c.py --source-checkpoint=/gone/model.pth'}
    write(run, json.loads(run.read_text()) | {'starts': [start]})
    gains = [run.gain(19) for run in collect(CONFIGS, [work_root])[0].runs]
    assert gains == [None, pytest.approx(7)]


def test_published_figures_stand_beside(work_root):
    results = collect(CONFIGS, [work_root])
    found = record(results, GTA, 19)
    assert (found['published_source_only'], found['published_adapted']) == (50.5, 56.2)
    assert found['published_gain'] == 5.7
    assert record(results, GTA, 16)['published_adapted'] is None
    found = record(results, SYNTHIA, 13)
    assert (found['published_source_only'], found['published_adapted']) == (56.2, 60.1)
    assert (found['source_only'], found['adapted'], found['gain']) == (56.5, None, None)
    assert found['source_only_deviation'] is None
    assert len(json.loads(to_json(results))['table']) == 24


def test_each_run_can_be_traced(work_root):
    runs = json.loads(to_json(collect(CONFIGS, [work_root])))['runs']
    assert [(run['row'], run['seed'], run['checkpoint']) for run in runs] == [
        *((GTA, 0, 'best0.pth'), (GTA, 1, 'best1.pth')),
        (SYNTHIA, 0, None),
    ]
    assert {run['root'] for run in runs} == {str(work_root)}


def test_csv(work_root):
    rows = list(csv.DictReader(io.StringIO(to_csv(collect(CONFIGS, [work_root])))))
    assert len(rows) == 24
    first = rows[0]
    assert (first['method'], first['backbone'], first['source']) == ('SSS', 'Swin-B', 'GTA')
    assert (first['classes'], first['seeds'], first['adapted']) == ('19', '0; 1', '56.7')
    assert rows[-1]['adapted'] == ''


@pytest.mark.parametrize(
    ('name', 'rule'),
    [
        ('best_mIoU19_iter_8.pth', 'target labels'),
        ('selected.pth', 'its recipe, without labels'),
        ('iter_8.pth', 'last'),
        (None, ''),
    ],
)
def test_by_what_an_adapted_model_was_chosen(name, rule):
    assert Run('w', 0, adapted_model='own', checkpoint=name and f'w/{name}').chosen_by == rule
    assert Run('w', 0, adapted_model='released', checkpoint=name).chosen_by == ''


def test_markdown(work_root):
    lines = to_markdown(collect(CONFIGS, [work_root])).splitlines()
    assert len(lines) == 2 + 4 + 8  # four rows over 19 classes, four over 16 and 13
    assert lines[2] == (
        '| SSS Swin-B, GTA | 19 | 50.5 | 56.2 | +5.7 | own / own '
        '| 50.2 ± 0.3 | 56.7 ± 1.0 | +6.5 ± 0.7 | last '
        '| 56.0 ± 0.0 / 50.0 ± 0.0 / 57.5 ± 0.7 | 80000 | 0, 1 | 2 x NVIDIA H100 | 7.0 |'
    )
    assert lines[-1] == (
        '| source-GtA MiT-B5, SYNTHIA | 13 | 56.2 | 60.1 | +3.9 | own / - | 56.5 |  |  |  '
        '|  |  | 0 |  |  |'
    )
    assert {line.count('|') for line in lines} == {16}


def test_an_unfinished_training_has_neither_iterations_nor_hours(work_root):
    write(work_root / f'seed0/train/{GTA}/run.json', {'starts': [START]})
    found = record(collect(CONFIGS, [work_root]), GTA, 19)
    assert found['hours'] == pytest.approx(8)
    assert found['seeds'] == [0, 1]


def test_the_readme_holds_what_the_tool_makes():
    text = (REPOSITORY / 'README.md').read_text()
    made = subprocess.run(
        [sys.executable, 'tools/results_table.py'],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert made.count('\n') == 14
    assert f'{BEGIN}\n\n{made}\n{END}' in text


def test_no_config_of_a_work_folder_is_run(work_root):
    trap = work_root / 'sprung'
    for path in work_root.glob('seed*/*/*'):
        (path / 'config.py').write_text(f'open({str(trap)!r}, "w")')
    collect(CONFIGS, [work_root])
    assert not trap.exists()


def test_what_cannot_be_read(work_root):
    with pytest.raises(UserError, match=r'work root .*gone does not exist'):
        collect(CONFIGS, [work_root / 'gone'])
    path = work_root / f'seed1/test/{GTA}/score.json'
    for text in ('{"mIoU19": 5', '[]'):
        path.write_text(text)
        with pytest.raises(UserError, match=r'seed1/test/sss_swin-b_gta5/score\.json .* delete it'):
            collect(CONFIGS, [work_root])
    for value in ('NaN', '"high"', '101'):
        path.write_text(f'{{"mIoU19": {value}}}')
        with pytest.raises(
            UserError,
            match=r'seed1/test/sss_swin-b_gta5/score\.json .*(no percentage|cannot be read)',
        ):
            collect(CONFIGS, [work_root])


def test_a_root_counts_once_and_other_models_are_apart(work_root):
    shutil.copytree(work_root / 'seed0', work_root / 'seed10')
    folder = work_root / 'seed3-released-source'  # of version 0.1
    shutil.copytree(work_root / 'seed0', folder)
    released = 'model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth'
    write(folder / f'test_source/{GTA}/score.json', scores(SOURCE[0], released))
    start = {**START, 'command': f'python train.py x.py --source-checkpoint {released}'}
    write(folder / f'train/{GTA}/run.json', {'starts': [start]})
    table = json.loads(to_json(collect(CONFIGS, [work_root, work_root / '.'])))['table']
    found = [r for r in table if r['config'].startswith(GTA) and r['classes'] == 19]
    assert [(r['source_model'], r['adapted_model'], r['seeds']) for r in found] == [
        ('own', 'own', [0, 1, 10]),
        ('released', 'own, of the released source', [3]),
    ]
    assert found[1]['gain'] == pytest.approx(6.0)


def test_what_was_begun_is_a_missing_input(work_root):
    """And a gain is that of a model over the one that it was made of."""
    released = 'SSS_Swin-B_GTAV_Cityscapes_Uni-UVPT_LP_56.2.pth'
    shutil.rmtree(work_root / 'seed1')
    shutil.rmtree(work_root / f'seed0/train/{GTA}')
    write(work_root / f'seed0/test/{GTA}/score.json', scores(ADAPTED[0], f'model/x/{released}'))
    cells = to_markdown(collect(CONFIGS, [work_root])).splitlines()[2].split(' | ')
    assert cells[5:9] == ['own / released', '50.0', '56.0', '']
    shutil.rmtree(work_root / 'seed0/test')
    shutil.rmtree(work_root / 'seed0/test_source')
    write(work_root / f'seed0/train/{GTA}/job.json', {})
    write(work_root / f'seed0/pretrain/{GTA}/job.json', {})
    cells = to_markdown(collect(CONFIGS, [work_root])).splitlines()[2].split(' | ')
    assert cells[5:9] == ['missing input / missing input', '', '', '']


def test_means_over_fewer_seeds_say_so(work_root):
    (work_root / f'seed1/test/{GTA}/score.json').unlink()
    line = to_markdown(collect(CONFIGS, [work_root])).splitlines()[2]
    assert '| own / own | 50.2 ± 0.3 | 56.0 (n=1) | +6.0 (n=1) |' in line


def counted(frames: np.ndarray) -> dict:
    """Return a result of six frames of 100 pixels of two classes, with a share of them right."""
    truth = np.full((len(frames), 2), 100)
    right = np.rint(frames * truth).astype(int)
    union = truth + (truth - right).sum(1, keepdims=True) - (truth - right)
    each = {'intersection': right, 'union': union, 'ground_truth_pixels': truth}
    score = 100 * (right.sum(0) / union.sum(0)).mean()
    return {
        **{'aug_test': False, 'amp': False, 'frames': len(frames), 'checkpoint': 'model.pth'},
        **{'mIoU': score, 'mIoU19': score, 'classes': ['road', 'sky']},
        **{'classes_of_mean': {'mIoU19': ['road', 'sky']}, 'ground_truth_pixels': [600, 600]},
        'of_each_frame': {name: counts.tolist() for name, counts in each.items()},
    }


def test_a_variant_is_compared_with_the_full_method_in_the_same_seeds_and_frames(tmp_path):
    draw, found = np.random.default_rng(0), {}
    for seed in range(3):
        for name, least in ((GTA, 0.6), (f'{GTA}_views-1', 0.5)):
            right = draw.uniform(least, least + 0.1, (6, 2))
            found[name, seed] = counted(right)
            write(tmp_path / f'seed{seed}/test/{name}/score.json', found[name, seed])
            start = START | {'parameters': {'trainable': 7}}
            write(tmp_path / f'seed{seed}/train/{name}/run.json', {'starts': [start]})
    path = tmp_path / f'seed2/test/{GTA}/score.json'  # of a test of another kind
    write(path, found[GTA, 2] | {'aug_test': True})
    results = collect(CONFIGS / 'ablations', [tmp_path])
    ours = record(results, f'{SWIN}_views-1.py', 19)
    less = [found[f'{GTA}_views-1', seed]['mIoU'] - found[GTA, seed]['mIoU'] for seed in (0, 1)]
    assert ours['less_full'] == pytest.approx(mean(less))
    assert ours['less_full_low'] < mean(less) < ours['less_full_high'] < 0
    assert ours['parameters'] == [7]
    full, other = (record(results, f'{SWIN}{end}.py', 19) for end in ('', '_slope-0.90'))
    assert full['less_full'] is other['less_full'] is None
    cell = f'| {mean(less):+.1f} ({ours["less_full_low"]:+.1f} to {ours["less_full_high"]:+.1f}) |'
    assert cell in to_markdown(results)
    write(path, found[GTA, 2])
    more = record(collect(CONFIGS / 'ablations', [tmp_path]), f'{SWIN}_views-1.py', 19)
    assert more['less_full'] != pytest.approx(mean(less))


def test_page_without_a_place(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('nothing here')
    with pytest.raises(UserError, match=r'page\.md has no place for the table'):
        update_page(page, '| a |\n', 'tools/results_table.py')
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    update_page(page, '| a |\n', 'tools/results_table.py')
    assert page.read_text() == f'before\n{BEGIN}\n\n| a |\n\n{END}\nafter\n'
