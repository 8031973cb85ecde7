"""The table's arithmetic against the same written down another way."""

import csv
import io
import json
from statistics import mean, stdev

import numpy as np
import pytest
from made_up_records import IMAGES, confusions, miou, write_run, write_source
from scipy.stats import norm, t

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation import bootstrap
from mmseg_uvpt.leaderboard.leaderboard_formats import LATEX, to_csv, to_latex, to_markdown
from mmseg_uvpt.leaderboard.leaderboard_rows import read_rows, summarise
from mmseg_uvpt.leaderboard.run_record import write_record

SOURCE = {0: 0.5, 1: 0.55, 2: 0.6}
FULL, STATISTICS = {0: 0.6, 1: 0.6, 2: 0.7}, {0: 0.58, 1: 0.52}
BEST = {0: 0.7, 2: 0.5}  # the last one of seed 2 is below its source


@pytest.fixture
def records(tmp_path):
    """Rows of different seeds; ``best`` is guarded: the source at seed 2, iteration 120 at 0."""
    for seed, right in SOURCE.items():
        write_source(tmp_path, seed, right)
    for seed, right in FULL.items():
        last = {'last': 240, 'by target labels': 240}
        write_run(tmp_path, 'uni-uvpt', seed, {0: SOURCE[seed], 240: right}, last, seconds=seed + 1)
    for seed, right in STATISTICS.items():
        write_run(tmp_path, 'adabn', seed, {0: SOURCE[seed], 100: right}, {'last': 100})
    for seed, right in BEST.items():
        models = {0: SOURCE[seed], 120: 0.75, 240: right}
        checkpoints = {'last': 240, 'guarded': 120 if seed == 0 else 0, 'by target labels': 120}
        write_run(tmp_path, 'best', seed, models, checkpoints)
    write_source(tmp_path, 0, 0.4, 'efficientnet-lite0')
    write_run(tmp_path, 'uni-uvpt_Head', 0, {0: 0.4, 9: 0.5}, {'last': 9}, 'efficientnet-lite0')
    return tmp_path


def entries(records, name):
    rows = read_rows(records)
    (row,) = (row for row in rows if row.facts['row'] == name)
    return summarise(row, rows)


def test_scores_have_mean_and_deviation_over_seeds(records):
    full = entries(records, 'uni-uvpt')
    scores = [miou(confusions(seed, right)) for seed, right in FULL.items()]
    assert full['last'] == pytest.approx((mean(scores), stdev(scores), 3))
    assert full['by target labels'] == full['last']
    assert full['guarded'] == (None, None, 0)
    assert full['seeds'] == [0, 1, 2]
    assert full['s/iteration'] == 2
    assert (full['parameters trained'], full['parameters added']) == (1234567, 1000)
    only = entries(records, 'uni-uvpt_Head')
    assert only['last'] == pytest.approx((miou(confusions(0, 0.5)), None, 1))


def test_the_worst_gain_is_that_of_one_seed_over_its_own_source(records):
    best = entries(records, 'best')
    worst = miou(confusions(2, 0.5)) - miou(confusions(2, 0.6))
    assert best['worst gain: last'] == pytest.approx((worst, len(best['seeds'])))
    assert worst < 0
    assert best['worst gain: guarded'] == (0, len(best['seeds']))
    assert entries(records, 'adabn')['worst gain: guarded'] == (None, 0)


@pytest.mark.parametrize(
    ('which', 'ours', 'baseline', 'theirs'),
    [
        ('last', {0: 0.7, 2: 0.5}, 'uni-uvpt', {0: 0.6, 2: 0.7}),
        ('guarded', {0: 0.75, 2: 0.6}, 'uni-uvpt', {0: 0.6, 2: 0.7}),
        ('last', {0: 0.7}, 'adabn', {0: 0.58}),  # the only seed that both have
    ],
)
def test_differences_are_of_the_same_seeds_and_images(records, which, ours, baseline, theirs):
    found = entries(records, 'best')[f'{which} - {baseline}']
    pairs = [(confusions(s, ours[s]), confusions(s, theirs[s])) for s in ours]
    assert found.mean == pytest.approx(mean(miou(a) - miou(b) for a, b in pairs))
    assert found.seeds == len(ours)
    draw, resampled = np.random.default_rng(7), []
    for _ in range(500):
        chosen = [draw.integers(IMAGES, size=IMAGES) for _ in pairs]  # images of a seed are its own
        differences = [
            miou(a[images]) - miou(b[images]) for (a, b), images in zip(pairs, chosen, strict=True)
        ]
        resampled.append(mean(differences))
    # as far out as few images ask for (tests/evaluation has the coverage)
    tail = 100 * norm.cdf(t.ppf(0.025, IMAGES - 1) * (IMAGES / (IMAGES - 1)) ** 0.5)
    bounds = np.percentile(resampled, [tail, 100 - tail])
    assert [found.low, found.high] == pytest.approx(bounds.tolist(), abs=0.2 * np.ptp(bounds))


def test_a_row_is_compared_within_its_backbone(records):
    assert entries(records, 'uni-uvpt_Head')['last - uni-uvpt'].seeds == 0
    full = entries(records, 'uni-uvpt')
    assert full['last - uni-uvpt'].seeds == 0  # that is itself
    assert full['last - adabn'].seeds == 2


def test_rows_stand_in_the_order_of_the_plan(records):
    rows = [(row.facts['backbone'], row.facts['row']) for row in read_rows(records)]
    swin = [('swin', 'uni-uvpt'), ('swin', 'adabn'), ('swin', 'best')]
    assert rows == [('efficientnet-lite0', 'uni-uvpt_Head'), *swin]


def test_markdown_and_latex_say_the_same(records):
    rows = read_rows(records)
    head, rule, *lines, _, _ = to_markdown(rows).splitlines()
    assert rule == '|---' * head.count(' | ') + '|---|'
    titles = head.strip('| ').split(' | ')
    cells = dict(zip(titles, lines[3].strip('| ').split(' | '), strict=True))
    best = entries(records, 'best')
    assert cells['method'] == 'best'
    assert cells['seeds'] == '0, 2'
    assert cells['last'] == f'{best["last"].mean:.1f} ± {best["last"].deviation:.1f}'
    change = best['last - adabn']
    assert cells['last - adabn'] == (
        f'{change.mean:+.1f} ({change.low:+.1f} to {change.high:+.1f}) (n=1)'
    )
    assert cells['worst gain: last'] == f'{best["worst gain: last"].mean:+.1f}'
    assert cells['parameters trained'] == '1,234,567'
    latex = to_latex(rows).splitlines()
    assert latex[0] == LATEX
    assert latex[1] == rf'\begin{{tabular}}{{{"l" * len(titles)}}}'
    assert latex[3].removesuffix(r' \\').split(' & ') == titles
    assert latex[-3].removesuffix(r' \\').replace(r'$\pm$', '±').split(' & ') == [*cells.values()]


def test_what_did_harm_stands_below_the_table(records):
    harm = 'the last one in 2 of 8 (adabn 1, best 1) and the guarded one in 0 of 2.'
    assert to_markdown(read_rows(records)).endswith(f'|\n\nBelow its source model is {harm}\n')
    for seed, (mended, spoilt) in enumerate([([0, 5], [0, 7]), ([0, 7], [9, 5]), ([0], [0])]):
        path = records / f'swin/uni-uvpt_seed{seed}.json'
        correction = {'label_correction': {'mended': mended, 'spoilt': spoilt}}
        write_record(path, json.loads(path.read_text()) | correction)
    assert to_markdown(read_rows(records)).endswith(
        f' {harm} Of the 2 runs whose label correction changed labels, it spoilt more pixels than '
        'it mended in 1.\n'
    )


def test_columns_without_an_entry_are_in_csv_alone(tmp_path):
    write_source(tmp_path, 0, 0.5)
    write_run(tmp_path, 'uni-uvpt', 0, {0: 0.5, 9: 0.6}, {'last': 9})
    rows = read_rows(tmp_path)
    assert 'guarded' not in to_markdown(rows)
    (line,) = csv.DictReader(io.StringIO(to_csv(rows)))
    assert float(line['last']) == miou(confusions(0, 0.6))
    assert (line['last: deviation'], line['last: seeds'], line['guarded']) == ('', '1', '')
    assert {'last - adabn: low', 'worst gain: guarded'} <= line.keys()


def test_a_run_of_another_source_model_is_refused(records):
    (records / 'swin/source_seed1.json').unlink()
    write_source(records, 1, 0.55, 'mit')
    (records / 'mit/source_seed1.json').rename(records / 'swin/source_seed1.json')
    text = (records / 'swin/source_seed1.json').read_text().replace('"backbone": "mit"', '')
    text = text.replace('"seed": 1', '"backbone": "swin", "seed": 1').replace('{\n ,', '{')
    (records / 'swin/source_seed1.json').write_text(text)
    with pytest.raises(UserError, match=r'_seed1.json is of another source model than'):
        read_rows(records)


def test_trainings_of_other_lengths_have_no_mean(records):
    path = records / 'swin/uni-uvpt_seed1.json'
    write_record(path, json.loads(path.read_text()) | {'iterations': 20})
    with pytest.raises(UserError, match=r'uni-uvpt_seed\*\.json are of .* and 20 \(seed 1\) iter'):
        read_rows(records)


def test_what_was_chosen_and_not_kept_has_a_score_and_no_difference(records):
    """An evaluation scored it; nobody has its weights, of which images are counted."""
    write_run(records, 'tent', 0, {0: SOURCE[0], 240: 0.3}, {'last': 240})
    path = records / 'swin/tent_seed0.json'
    record = json.loads(path.read_text())
    choices = {'guarded': {'iteration': 80, 'score': 43.0}, 'target labels': {'score': 45.0}}
    write_record(path, {**record, 'selection': {'candidates': [], 'choices': choices}})
    found = entries(records, 'tent')
    assert (found['guarded'].mean, found['by target labels'].mean) == (43.0, 45.0)
    assert found['worst gain: guarded'] == pytest.approx((43.0 - miou(confusions(0, SOURCE[0])), 1))
    assert found['guarded - uni-uvpt'].seeds == 0
    assert found['last - uni-uvpt'].seeds == 1


def test_few_images_have_no_interval(records, monkeypatch):
    monkeypatch.setattr(bootstrap, 'FEWEST', IMAGES + 1)
    found = entries(records, 'best')['last - uni-uvpt']
    assert found.mean is not None
    assert found.low is found.high is None


@pytest.mark.parametrize(
    ('change', 'says'),
    [
        (lambda r: r.pop('counts'), r'tent_seed0.json has no counts: restore it'),
        (lambda r: r.update(seed=1), r'tent_seed0.json is the record of swin/tent_seed1: rename'),
        (
            lambda r: r['counts']['240']['intersection'].pop(),
            r'tent_seed0.json counts other images than source_seed0.json, which has 12',
        ),
    ],
)
def test_a_record_that_does_not_serve_is_named(records, change, says):
    write_run(records, 'tent', 0, {0: SOURCE[0], 240: 0.3}, {'last': 240})
    path = records / 'swin/tent_seed0.json'
    record = json.loads(path.read_text())
    change(record)
    write_record(path, record)
    with pytest.raises(UserError, match=says):
        read_rows(records)


def test_no_record_is_an_error(tmp_path):
    with pytest.raises(UserError, match='holds no record of a run: python tools/leaderboard'):
        read_rows(tmp_path)
