"""Several adaptations of one source model: its jobs are shared, theirs are not."""

import json
import shlex
from pathlib import Path

import pytest

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep.cli import main
from mmseg_uvpt.sweep.jobs import Settings
from mmseg_uvpt.sweep.results_table import collect
from mmseg_uvpt.sweep.rows import find_rows
from mmseg_uvpt.sweep.stages import list_jobs
from mmseg_uvpt.sweep.table_formats import to_csv, to_json, to_markdown

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = 'sss_swin-b_gta5'
FULL = f'configs/uni_uvpt/{SOURCE}-to-cityscapes.py'


@pytest.fixture(autouse=True)
def in_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder of two variants, beside the pretraining of their source model."""
    text = f'_base_ = {str(REPOSITORY / FULL)!r}\n'
    for variant, more in (('', ''), ('_few-1', 'uvpt = dict(released_checkpoint=None)\n')):
        path = tmp_path / f'variants/uni_uvpt/{SOURCE}-to-cityscapes{variant}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + more)
    (tmp_path / 'pretrain').mkdir()
    pretraining = REPOSITORY / f'configs/pretrain/{SOURCE}.py'
    (tmp_path / f'pretrain/{SOURCE}.py').write_text(f'_base_ = {str(pretraining)!r}\n')
    (tmp_path / 'pretrain/sss_mit-b5_gta5.py').touch()  # which has no variants
    return tmp_path / 'variants'


def jobs(stage: str, root: Path, only=(), source_only=False):
    settings = Settings(root, root.parent / 'sweep', source_only=source_only)
    return list_jobs(stage, settings, [0, 1], list(only))


def test_the_ablations_are_rows_of_one_source_model():
    rows = find_rows('configs/ablations')
    assert {row.name for row in rows} == {SOURCE}
    assert {row.pretraining for row in rows} == {REPOSITORY / f'configs/pretrain/{SOURCE}.py'}
    assert rows[0].variant == ''  # the full method comes first
    assert len({row.variant for row in rows}) == len(rows) > 30


def test_what_is_made_of_the_source_model_is_made_once(root):
    for stage, source_only in (('pretrain', False), ('pseudo_label', False), ('test', True)):
        found = jobs(stage, root, source_only=source_only)
        assert [job.name for job in found] == [f'{SOURCE}/seed0', f'{SOURCE}/seed1']
    for stage in ('train', 'test'):
        found = [job for job in jobs(stage, root) if job.seed == 0]
        assert [job.folder.name for job in found] == [SOURCE, f'{SOURCE}_few-1']
        assert len({job.config for job in found}) == 2
    labels = str(root.parent / f'sweep/seed0/pseudo_label/{SOURCE}/train')
    assert all(labels in job.command() for job in jobs('train', root)[:2])
    assert jobs('pretrain', root)[0].config == root.parent / f'pretrain/{SOURCE}.py'
    released = [job.model.origin for job in jobs('test', root)[:2]]
    assert released == ['released', 'own']


@pytest.mark.parametrize('only', ['few', 'few-1/seed0'])
def test_a_variant_names_the_jobs_that_it_needs(root, only):
    """So that one --only serves all launchers; the labels are made with the recipe itself."""
    seeds = 1 if 'seed' in only else 2
    for stage in ('pretrain', 'pseudo_label'):
        assert [job.row.variant for job in jobs(stage, root, [only])] == [''] * seeds
    for stage in ('train', 'test'):
        assert [job.row.variant for job in jobs(stage, root, [only])] == ['few-1'] * seeds


def test_launchers_run_variants(root, capsys):
    place = ['--config-root', str(root), '--work-root', str(root / 'w'), '--only', 'few']
    assert main('train', 'Adapt.', ['--dry-run', *place]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    words = shlex.split(line, comments=True)
    assert words[1:3] == ['train.py', str(root / f'uni_uvpt/{SOURCE}-to-cityscapes_few-1.py')]
    assert main('train', 'Adapt.', ['--list', *place]) == 0
    assert f'{SOURCE}_few-1/seed0' in capsys.readouterr().out


def test_an_offline_correction_reads_the_curve_of_the_recipe_itself(root):
    change = "default_hooks = dict(label_correction=dict(type='OfflineLabelCorrectionHook'))"
    path = root / f'uni_uvpt/{SOURCE}-to-cityscapes_offline.py'
    path.write_text(f'_base_ = {str(REPOSITORY / FULL)!r}\n{change}\n')
    job = jobs('train', root, ['offline'])[0]
    seed = root.parent / 'sweep/seed0'
    full, source = seed / f'train/{SOURCE}', seed / f'pretrain/{SOURCE}'
    record = f'default_hooks.label_correction.record={full}'
    assert job.command()[-2:] == ['--cfg-options', record]
    assert record not in jobs('train', root, ['few'])[0].command()
    for folder, missing in ((source, f'launcher_train.py --only {SOURCE}/seed0'), (full, 'labels')):
        folder.mkdir(parents=True)
        (folder / 'iter_1.pth').touch()
        (folder / 'run.json').write_text('{"starts": [], "finished": "2026"}')
        with pytest.raises(UserError, match=missing):
            job.require()


def test_two_adaptations_of_one_name(root):
    (root / f'uni_uvpt/{SOURCE}-to-elsewhere_few-1.py').touch()
    with pytest.raises(UserError, match=r'of one name: call one .*-to-<target>_<variant>\.py'):
        find_rows(root)


def test_the_table_has_a_column_of_variants(root):
    work = root / 'w'
    for name, score in ((f'test_source/{SOURCE}', 50), (f'test/{SOURCE}_few-1', 53.5)):
        folder = work / 'seed0' / name
        folder.mkdir(parents=True)
        contents = {'checkpoint': 'mine.pth', 'mIoU19': score, 'mIoU': score}
        (folder / 'score.json').write_text(json.dumps(contents))
    results = collect(root, [work])
    lines = to_markdown(results).splitlines()
    assert lines[0].startswith('| pretraining, backbone, source | variant | classes |')
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines]
    assert [row[1] for row in cells[2:]] == ['', 'few-1']
    assert cells[2][7:10] == ['50.0', '', '']
    assert cells[3][7:10] == ['50.0', '53.5', '+3.5']
    assert to_csv(results).startswith('method,backbone,source,variant,config,')
    whole = json.loads(to_json(results))
    assert {record['variant'] for record in whole['table']} == {'', 'few-1'}
    assert [run['row'] for run in whole['runs']] == [SOURCE, f'{SOURCE}_few-1']
    assert 'variant' not in to_csv(results[:1]) + to_markdown(results[:1])


def test_links_lead_to_the_configs_of_the_root(root, monkeypatch):
    monkeypatch.chdir(root)
    links = to_markdown(collect(root, []))
    assert f'(uni_uvpt/{SOURCE}-to-cityscapes_few-1.py)' in links
