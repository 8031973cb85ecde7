"""The job list, made from the configs."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep.cli import main
from mmseg_uvpt.sweep.jobs import Settings
from mmseg_uvpt.sweep.rows import find_rows
from mmseg_uvpt.sweep.scores import score_of
from mmseg_uvpt.sweep.stages import STAGES, list_jobs
from mmseg_uvpt.sweep.status import State, status_of

REPOSITORY = Path(__file__).resolve().parents[2]
ROWS = [
    ('SSS', 'Swin-B', 'GTA'),
    ('SSS', 'MiT-B5', 'GTA'),
    ('SSS', 'Swin-B', 'SYNTHIA'),
    ('SSS', 'MiT-B5', 'SYNTHIA'),
    ('source-GtA', 'Swin-B', 'GTA'),
    ('source-GtA', 'MiT-B5', 'GTA'),
    ('source-GtA', 'Swin-B', 'SYNTHIA'),
    ('source-GtA', 'MiT-B5', 'SYNTHIA'),
]


@pytest.fixture(autouse=True)
def in_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def settings(tmp_path, **changes) -> Settings:
    return Settings(**{'config_root': Path('configs'), 'work_root': tmp_path, **changes})


def jobs_of(stage, tmp_path, only=(), seeds=(0,), **changes):
    return list_jobs(stage, settings(tmp_path, **changes), list(seeds), list(only))


@pytest.mark.parametrize('root', ['configs', 'configs/rehearsal'])
def test_rows_are_those_of_the_published_table(root):
    rows = find_rows(root)
    assert [(row.method, row.backbone, row.source) for row in rows] == ROWS
    assert all(row.pretraining.is_file() and row.adaptation.is_file() for row in rows)


@pytest.mark.slow
def test_the_foundation_recipes_start_from_models_made_here(tmp_path, capsys, monkeypatch):
    """Weights of the hub are the job's to download, unless the hub is not to be asked."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    roots = ('--config-root', 'configs/foundation', '--data-root', str(tmp_path))
    roots += ('--work-root', str(tmp_path / 'sweep'))
    for folder in ('gta', 'synthia', 'cityscapes'):
        (tmp_path / folder).mkdir()
    rows = find_rows('configs/foundation')
    assert len({row.backbone for row in rows}) == 6
    assert len(rows) == 12
    assert all(row.pretraining and row.adaptation for row in rows)
    only = 'convnext-b_gta5'
    for stage, kind in STAGES.items():
        (job,) = jobs_of(stage, tmp_path / 'sweep', [only], config_root=Path('configs/foundation'))
        assert not (job.model and job.model.origin == 'released')
        assert main(stage, '', ['--dry-run', *roots, '--only', only]) == 0
        (line,) = capsys.readouterr().out.splitlines()
        assert f' {kind.script} ' in line
        assert line.endswith('# missing input') == (stage != 'pretrain')
    (job,) = jobs_of('pretrain', tmp_path, [only], config_root=Path('configs/foundation'))
    assert str(job.needs) == 'timm/convnext_base.fb_in22k'
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(UserError, match=r'convnext_base\.fb_in22k/resolve/main.*HF_HUB_OFFLINE'):
        job.require()


@pytest.mark.parametrize('stage', STAGES)
def test_eight_jobs_a_stage(stage, tmp_path):
    jobs = jobs_of(stage, tmp_path)
    assert [(j.row.method, j.row.backbone, j.row.source) for j in jobs] == ROWS
    assert len({job.folder for job in jobs}) == 8
    assert [job.row.name in str(job.config) for job in jobs] == [True] * 8


@pytest.mark.parametrize('stage', STAGES)
def test_commands(stage, tmp_path):
    for changes in ({}, {'source_only': True}):
        job = jobs_of(
            stage, tmp_path, data_root='elsewhere', extra=('--cfg-options', 'a=1'), **changes
        )[0]
        command = job.command()
        assert command[0] == sys.executable
        assert command[1] == job.script
        assert str(job.folder) in ' '.join(command)
        assert command[-2:] == ['--data-root', 'elsewhere']
        assert '--cfg-options' in command


def test_patterns_choose_jobs(tmp_path):
    names = [job.row.name for job in jobs_of('train', tmp_path, ['swin*gta5*'])]
    assert names == ['sss_swin-b_gta5', 'source-gta_swin-b_gta5']
    names = [job.name for job in jobs_of('train', tmp_path, ['mit*syn*', 'swin*syn*'], (3, 5))]
    assert len(names) == 8
    assert names[0] == 'sss_swin-b_synthia/seed3'
    assert len(jobs_of('train', tmp_path, ['seed5'], (3, 5))) == 8
    with pytest.raises(UserError, match=r'--only resnet fits none of the jobs sss_swin-b_gta5'):
        jobs_of('train', tmp_path, ['resnet'])


def test_seeds_have_folders_of_their_own(tmp_path):
    first, second = jobs_of('pretrain', tmp_path, ['sss_swin-b_gta5'], (0, 1))
    assert first.folder == tmp_path / 'seed0/pretrain/sss_swin-b_gta5'
    assert second.folder == tmp_path / 'seed1/pretrain/sss_swin-b_gta5'
    assert second.command()[-2:] == ['--seed', '1']


def test_released_models_are_those_of_the_configs(tmp_path):
    for stage, source_only in (('pseudo_label', False), ('train', False), ('test', True)):
        job = jobs_of(stage, tmp_path, ['sss_swin-b_gta5'], source_only=source_only)[0]
        assert str(job.needs) == 'model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth'
    job = jobs_of('test', tmp_path, ['sss_swin-b_gta5'])[0]
    expected = 'model/Uni-UVPT_models/SSS_Swin-B_GTAV_Cityscapes_Uni-UVPT_LP_56.2.pth'
    assert str(job.needs) == expected
    assert status_of(job).state is State.MISSING
    assert expected in status_of(job).note


def test_each_stage_starts_from_what_the_one_before_made(tmp_path):
    pretrain, label, train, test, source = (
        jobs_of(stage, tmp_path, ['sss_mit-b5_synthia'], source_only=only)[0]
        for stage, only in (
            *(('pretrain', False), ('pseudo_label', False), ('train', False)),
            *(('test', False), ('test', True)),
        )
    )
    assert pretrain.makes.name == 'best_*.pth'
    assert 'launcher_pretrain.py' in status_of(label).note
    pretrain.folder.mkdir(parents=True)
    for name in ('iter_10.pth', 'best_mIoU16_iter_8.pth'):
        (pretrain.folder / name).touch()
    assert label.needs == train.needs == source.needs == pretrain.makes
    assert 'not finished: run launcher_pretrain.py' in status_of(label).note
    (pretrain.folder / 'run.json').write_text('{"starts": [], "finished": "2026"}')
    assert pretrain.done()
    assert label.needs == pretrain.makes == pretrain.folder / 'best_mIoU16_iter_8.pth'
    assert 'launcher_pseudo_label.py' in status_of(train).note
    assert 'launcher_train.py' in status_of(test).note
    assert 'data root data/cityscapes' in status_of(label).note  # only that is missing now


def test_a_score_of_another_checkpoint_is_none(tmp_path):
    job = jobs_of('test', tmp_path, ['sss_swin-b_gta5'])[0]
    job.folder.mkdir(parents=True)
    job.makes.write_text(json.dumps({'checkpoint': 'other.pth', 'mIoU19': 50.0}))
    assert not job.done()
    job.makes.write_text(json.dumps({'checkpoint': str(job.needs), 'mIoU19': 50.0}))
    assert job.done()


def test_a_finished_job_that_would_run_otherwise_now_says_so(tmp_path, monkeypatch):
    job = jobs_of('test', tmp_path, ['sss_swin-b_gta5'], data_root=str(tmp_path / 'one'))[0]
    job.folder.mkdir(parents=True)
    job.makes.write_text(json.dumps({'checkpoint': str(job.needs), 'mIoU19': 50.0}))
    command = ['/elsewhere/python', *job.command()[1:]]
    record = {'attempts': [{'command': shlex.join(command), 'status': 0}]}
    (job.folder / 'job.json').write_text(json.dumps(record))
    assert status_of(job) == (State.DONE, '')
    for changes in ({'data_root': str(tmp_path / 'two')}, {'extra': ['--aug-test']}):
        asked = {'data_root': str(tmp_path / 'one')} | changes
        other = jobs_of('test', tmp_path, ['sss_swin-b_gta5'], **asked)[0]
        assert status_of(other).note == 'it was run with other arguments: run it again with --again'


def test_the_score_of_a_training_is_that_of_what_it_makes(tmp_path):
    """Its recipe chose it without labels, though another scored better."""
    job = jobs_of('train', tmp_path, ['sss_swin-b_gta5'])[0]
    job.folder.mkdir(parents=True)
    (job.folder / 'selected.pth').touch()
    candidates = [{'iteration': i, 'score': score} for i, score in ((0, 40.0), (8, 42.0))]
    record = {'asked': 'guarded', 'selected': 0, 'metric': 'mIoU19', 'candidates': candidates}
    (job.folder / 'selection.json').write_text(json.dumps(record))
    assert score_of(job) == {'mIoU19': 40.0}


def test_a_begun_training_is_resumed(tmp_path):
    job = jobs_of('train', tmp_path, ['sss_swin-b_gta5'])[0]
    assert '--resume' not in job.command()
    job.folder.mkdir(parents=True)
    (job.folder / 'config.py').touch()
    assert '--resume' in job.command()


def test_several_gpus_go_through_torchrun(tmp_path):
    command = jobs_of('pretrain', tmp_path, gpus=4, extra=('--amp',))[0].command()
    torchrun = ['-m', 'mmseg_uvpt.engine.training.torchrun', '--nproc-per-node=4']
    assert command[:5] == [sys.executable, *torchrun, 'pretrain.py']
    assert '--amp' in command


def test_names_that_are_no_rows(tmp_path):
    with pytest.raises(UserError, match=r'holds no configs pretrain/\*\.py'):
        find_rows(tmp_path)
    (tmp_path / 'pretrain').mkdir()
    (tmp_path / 'pretrain/swin.py').touch()
    with pytest.raises(UserError, match=r'swin\.py: the name of a recipe is <method>_<backbone>'):
        find_rows(tmp_path)


def test_list_and_dry_run_start_nothing(tmp_path, capsys):
    place = ['--work-root', str(tmp_path / 'w')]
    assert main('train', 'Adapt.', ['--list', *place]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *('job', 'method', 'backbone', 'source', 'model', 'needs', 'makes', 'state', 'score')
    ]
    assert len(lines) == 9
    assert all('missing input' in line for line in lines[1:])
    arguments = ['--dry-run', '--only', 'swin*gta5*', *place, '--', '--amp']
    assert main('train', 'Adapt.', arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    words = shlex.split(lines[0], comments=True)
    assert words[1:3] == ['train.py', 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py']
    assert words[-1] == '--amp'
    assert lines[0].endswith('# missing input')
    assert not (tmp_path / 'w').exists()


@pytest.mark.parametrize('word', ['--work-dir', '--seed=3', '--resume', '--see', '--res'])
def test_what_the_launcher_sets_cannot_be_set_again(word):
    with pytest.raises(UserError, match=f'{word.split("=")[0]} after -- is set by the launcher'):
        main('pretrain', 'Train.', ['--list', '--', word])


def test_options_of_the_published_launchers(tmp_path, capsys):
    (tmp_path / 'cs/leftImg8bit').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('cs')
    for given, expected in (('cs', 'cs'), ('link', 'link'), ('nowhere', 'nowhere')):
        place = ['--data_url', str(tmp_path / given), '--train_url', str(tmp_path / 'out')]
        assert main('pretrain', 'Train.', ['--dry-run', *place]) == 0
        line = capsys.readouterr().out.splitlines()[0]
        assert f'--work-dir {tmp_path}/out/seed0/pretrain/sss_swin-b_gta5 ' in line
        assert f'--data-root {tmp_path}/{expected}' in line
    refused = [
        (['--init_method', 'tcp://1.2.3.4:5013'], '--init_method is no option here.*--gpus-per'),
        (['--run_test', 'True'], '--run_test is no option here.*--only JOB'),
        (['--models', 'released-source'], '--models is no option here, leave it out'),
        (['--list', '--', '--train-iter', '5'], r'--train-iter .* train_cfg\.max_iters=5'),
    ]
    for words, message in refused:
        with pytest.raises(UserError, match=message):
            main('train', 'Adapt.', words)


def test_nothing_to_do_is_a_failure(tmp_path, capsys):
    arguments = ['--work-root', str(tmp_path / 'w'), '--only', 'sss_swin-b_gta5']
    assert main('pseudo_label', 'Label.', arguments) == 1
    assert 'missing input' in capsys.readouterr().out


def test_again_loses_nothing_where_it_cannot_run(tmp_path):
    job = jobs_of('test', tmp_path, ['sss_swin-b_gta5'])[0]
    job.folder.mkdir(parents=True)
    job.makes.write_text(json.dumps({'checkpoint': str(job.needs), 'mIoU19': 50.0}))
    arguments = ['--only', 'sss_swin-b_gta5', '--work-root', str(tmp_path)]
    assert main('test', 'Score.', arguments) == 0
    assert main('test', 'Score.', ['--again', *arguments]) == 0  # the released file is missing
    with pytest.raises(UserError, match='--gpus-per-job 40'):
        main('test', 'Score.', ['--again', '--gpus-per-job', '40', *arguments])
    assert job.done()


def test_again_runs_a_training_anew(tmp_path):
    job = jobs_of('pretrain', tmp_path, ['sss_swin-b_gta5'])[0]
    job.folder.mkdir(parents=True)
    (job.folder / 'config.py').touch()
    (job.folder / 'run.json').write_text('{"finished": "2026"}')
    assert '--resume' not in job.command()


def test_arguments_of_the_script_that_cannot_be(tmp_path):
    with pytest.raises(UserError, match=r"after --: .*'oops' is not of the form key=value"):
        main('train', 'Adapt.', ['--list', '--', '--cfg-options', 'oops'])


def test_one_config_that_cannot_be_read(tmp_path, capsys):
    for kind in ('pretrain', 'uni_uvpt'):
        shutil.copytree(REPOSITORY / 'configs/rehearsal' / kind, tmp_path / 'c/x' / kind)
    shutil.copytree(REPOSITORY / 'configs/_base_', tmp_path / '_base_')
    (tmp_path / 'c/x/pretrain/.#sss_mit-b5_gta5.py').touch()  # as an editor leaves it
    (tmp_path / 'c/x/pretrain/sss_swin-b_gta5.py').write_text('model = dict(')
    (tmp_path / 'c/x/pretrain/sss_mit-b5_gta5.py').write_text('')
    arguments = [
        '--list',
        '--config-root',
        str(tmp_path / 'c/x'),
        '--work-root',
        str(tmp_path / 'w'),
    ]
    assert main('pretrain', 'Train.', arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert 'cannot be read: SyntaxError' in lines[1]
    assert 'sss_mit-b5_gta5.py' in lines[2]

    (tmp_path / 'c/x/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py').write_text('model = 5')
    (tmp_path / 'c/x/uni_uvpt/sss_mit-b5_gta5-to-cityscapes.py').write_text('_base_ = "none.py"')
    for stage in ('train', 'test', 'pseudo_label'):
        for looking in ('--list', '--dry-run'):
            main(stage, 'Do it.', [looking, *arguments[1:]])
            lines = capsys.readouterr().out.splitlines()
            assert sum('source-gta' in line for line in lines) == 4, (stage, looking, lines)


def test_no_configs_for_a_stage(tmp_path):
    shutil.copytree(REPOSITORY / 'configs/uni_uvpt', tmp_path / 'uni_uvpt')
    with pytest.raises(UserError, match=r'holds no configs for pretrain\.py'):
        main('pretrain', 'Train.', ['--list', '--config-root', str(tmp_path)])


def test_slurm_jobs_that_would_be_stopped_at_once(tmp_path):
    with pytest.raises(UserError, match='--time 2: give a job at least 10 minutes'):
        main('train', 'Adapt.', ['--engine', 'slurm', '--time', '2', '--work-root', str(tmp_path)])


def test_listing_where_slurm_does_not_answer(tmp_path, capsys, monkeypatch):
    job = jobs_of('pretrain', tmp_path, ['sss_swin-b_gta5'])[0]
    job.folder.mkdir(parents=True)
    (job.folder / 'job.json').write_text('{"slurm": "12_0"}')
    monkeypatch.setenv('PATH', '')
    arguments = ['--list', '--only', 'sss_swin-b_gta5', '--work-root', str(tmp_path)]
    assert main('pretrain', 'Train.', arguments) == 0
    assert 'Slurm job 12_0: not known, slurm does not answer here' in capsys.readouterr().out


def test_a_training_without_evaluations_needs_no_images_for_them(tmp_path):
    (tmp_path / 'gta').mkdir()
    changes = {'data_root': str(tmp_path), 'extra': ('--no-validate',)}
    (job,) = jobs_of('pretrain', tmp_path, ['sss_swin-b_gta5'], **changes)
    job._require_data()
    (job,) = jobs_of('pretrain', tmp_path, ['sss_swin-b_gta5'], **changes | {'extra': ()})
    with pytest.raises(UserError, match='val_dataloader'):
        job._require_data()
