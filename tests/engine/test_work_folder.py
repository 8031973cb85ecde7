"""Who may start in a work folder, and how an interrupted run goes on."""

import errno
import json
import os
import resource
import shutil
import time

import killed_runs
import pytest
import torch
from mmengine.config import Config

from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeFileBackend
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.engine.work_folder import lock
from mmseg_uvpt.engine.work_folder.claim import (
    best_checkpoint,
    last_whole_checkpoint,
    run_record_of,
)
from mmseg_uvpt.errors import UserError


@pytest.fixture
def folder(tmp_path, finished):
    """A copy of a finished run, at the place where ``run`` starts."""
    return shutil.copytree(finished, tmp_path / 'run')


def losses(folder) -> list[float]:
    """Return the logged losses of all starts of a run."""
    return [line['loss'] for line in killed_runs.logged(folder, 'loss')]


def contents(folder) -> dict:
    return {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}


@pytest.mark.slow
def test_seed_repeats_a_run(run, finished):
    first = losses(finished)
    assert len(first) == 4
    folder = run('--seed', '0')
    assert losses(folder) == first
    folder.rename(folder.with_name('first'))
    assert losses(run('--seed', '4')) != first


def test_two_runs_of_one_second(run, monkeypatch):
    now = time.localtime()
    monkeypatch.setattr(time, 'localtime', lambda *_: now)
    first = run()
    first = first.rename(first.with_name('first'))
    second = run('--seed', '4')
    logs = [next(folder.glob('*/*.log')).read_text() for folder in (first, second)]
    assert ['seed: 0' in log for log in logs] == [True, False]
    assert losses(first) != losses(second)


def test_finished_run_is_not_overwritten(run, folder):
    before = contents(folder)
    with pytest.raises(UserError, match=r'already holds a run of this config, up to iter_4\.pth'):
        run()
    with pytest.raises(UserError, match=r'optim_wrapper\.optimizer\.lr is 0\.001 there, 0\.5 here'):
        run('--cfg-options', 'optim_wrapper.optimizer.lr=0.5')
    with pytest.raises(UserError, match=r'randomness\.seed is 0 there, 1 here'):
        run('--seed', '1', '--resume')
    with pytest.raises(UserError, match='already holds a run of this config'):
        run('--cfg-options', 'train_dataloader.num_workers=1')  # no other run for that
    assert contents(folder) == before


def test_resume_continues(run, folder, finished):
    (folder / 'iter_4.pth').unlink()
    (folder / 'last_checkpoint').write_text('')  # as a full disk would leave it
    original = contents(finished)
    run('--resume')
    first, second = json.loads((folder / 'run.json').read_text())['starts']
    assert (first['first_iteration'], second['first_iteration']) == (0, 2)
    assert second['resumed_from'].endswith('iter_2.pth')
    assert len(losses(folder)) == 6
    checkpoint = torch.load(folder / 'iter_4.pth', weights_only=True)
    assert checkpoint['meta']['iter'] == 4
    values, counts = checkpoint['message_hub']['log_scalars']['train/loss']
    assert len(values) == len(counts) == 4
    steps = {int(state['step']) for state in checkpoint['optimizer']['state'].values()}
    assert steps == {4}
    assert contents(finished) == original


def test_nothing_to_resume(run):
    with pytest.raises(UserError, match='nothing to resume'):
        run('--resume')


def test_checkpoints_without_config(run, folder):
    (folder / 'config.py').unlink()
    with pytest.raises(UserError, match=r'holds iter_4\.pth but no config\.py'):
        run()


def test_broken_config_of_a_run(run, folder):
    stored = folder / 'config.py'
    stored.write_text(stored.read_text()[:500])
    with pytest.raises(UserError, match=r'run/config\.py, .* cannot be read .* --work-dir$'):
        run('--resume')


@pytest.mark.slow
def test_file_too_large_for_the_disk(run, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    try:
        with pytest.raises(UserError, match=r'cannot write .*iter_2\.pth: File too large'):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    folder = tmp_path / 'run'
    assert not list(folder.glob('*.pth')) + list(folder.glob('.*'))
    run('--resume')  # the cure: the run had no checkpoint yet and begins again
    assert (folder / 'iter_4.pth').is_file()


def test_full_disk_keeps_older_checkpoints(run, tmp_path, monkeypatch):
    put = WholeFileBackend.put

    def put_until_full(self, obj, filepath):
        if '4' in str(filepath).rpartition('/')[2]:
            raise OSError(errno.ENOSPC, 'No space left on device', str(filepath))
        put(self, obj, filepath)

    monkeypatch.setattr(WholeFileBackend, 'put', put_until_full)
    one = 'default_hooks.checkpoint.max_keep_ckpts=1'
    with pytest.raises(UserError, match=r'cannot write .*iter_4\.pth: No space left.* --resume; '):
        run('--cfg-options', one)
    names = {path.name for path in (tmp_path / 'run').glob('*.pth')}
    assert names == {'iter_2.pth', 'best_mIoU19_iter_2.pth'}
    monkeypatch.undo()
    run('--resume', '--cfg-options', one)
    names = {path.name for path in (tmp_path / 'run').glob('iter*.pth')}
    assert names == {'iter_4.pth'}


def evaluations(folder) -> list[int]:
    """Return the iterations at which a run was scored, in the order of its starts."""
    return [line['step'] for line in killed_runs.logged(folder, 'mIoU19')]


def test_resume_between_two_steps(run, tmp_path):
    """Batches are added up, three to a step; the checkpoint is that of two."""
    options = ['--cfg-options', 'optim_wrapper.accumulative_counts=3']
    folder = run(*options)
    (folder / 'iter_4.pth').rename(tmp_path / 'whole.pth')
    run('--resume', *options)
    one, two = (
        torch.load(path, weights_only=True)
        for path in (tmp_path / 'whole.pth', folder / 'iter_4.pth')
    )
    for part in ('state_dict', 'optimizer', 'exact_resume'):
        assert killed_runs.differences(one[part], two[part]) == []


def test_evaluation_that_was_missed_is_made_up_for(run, folder, finished):
    assert 'finished' in json.loads((finished / 'run.json').read_text())
    record = run_record_of(folder)
    del record['finished']  # as if stopped after the last checkpoint and before its evaluation
    (folder / 'run.json').write_text(json.dumps(record))
    before = evaluations(folder)
    run('--resume')
    assert evaluations(folder) == [*before, 4]
    assert run_record_of(folder)['finished']


def test_evaluation_that_was_missed_by_dynamic_intervals(run):
    """The first interval would have none at iteration 2."""
    options = ['train_cfg.val_interval=4', 'train_cfg.dynamic_intervals=[(3,1)]']
    folder = run('--cfg-options', *options)
    assert evaluations(folder) == [2, 3, 4]
    (folder / 'iter_4.pth').unlink()
    run('--resume', '--cfg-options', *options)
    assert evaluations(folder)[3:] == [2, 3, 4]


def test_best_checkpoint_is_the_last_that_was_better(tmp_path):
    assert best_checkpoint(tmp_path) is None
    for name in ('best_mIoU19_iter_900.pth', 'best_mIoU19_iter_1000.pth', 'iter_2000.pth'):
        (tmp_path / name).touch()
    assert best_checkpoint(tmp_path).name == 'best_mIoU19_iter_1000.pth'


@pytest.mark.slow
def test_all_evaluated_checkpoints_are_kept_where_asked_for(run):
    often = ['train_cfg.val_interval=1', 'default_hooks.checkpoint.interval=1']
    folder = run('--cfg-options', 'default_hooks.checkpoint.max_keep_ckpts=-1', *often)
    assert evaluations(folder) == [1, 2, 3, 4]
    kept = sorted(path.name for path in folder.glob('iter_*.pth'))
    assert kept == [f'iter_{number}.pth' for number in (1, 2, 3, 4)]
    folder.rename(folder.with_name('all'))
    folder = run('--cfg-options', *often)  # the recipes keep two
    assert sorted(path.name for path in folder.glob('iter_*.pth')) == ['iter_3.pth', 'iter_4.pth']


def test_two_runs_exclude_each_other(run, folder, monkeypatch):
    monkeypatch.setattr(lock, '_PATIENCE', 0.2)
    with (
        lock.locked(folder, 'none', 'python pretrain.py here'),
        pytest.raises(UserError, match=rf'in use by process {os.getpid()} on .*: python pretrain'),
    ):
        run('--resume')
    with lock.locked(folder, 'none', 'python pretrain.py here'):
        pass


def test_damaged_checkpoints_are_passed_over(run, folder):
    path = folder / 'iter_4.pth'
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # one bit, as of a disk
    path.write_bytes(data)
    run('--resume')
    start = json.loads((folder / 'run.json').read_text())['starts'][-1]
    assert start['first_iteration'] == 2
    log = max(folder.glob('*/*.log'), key=os.path.getmtime).read_text()
    assert 'iter_4.pth is damaged: the run goes on from iter_2.pth instead' in log
    for name in ('iter_2.pth', 'iter_4.pth'):
        (folder / name).write_bytes(b'PK')
    with pytest.raises(UserError, match=r'all are damaged: iter_4\.pth, iter_2\.pth'):
        run('--resume')


def with_entries(path, **entries):
    """Change what a checkpoint says of the run that wrote it; None takes all of it away."""
    checkpoint = torch.load(path, weights_only=True)
    said = checkpoint.pop('exact_resume')
    if entries:
        checkpoint['exact_resume'] = {**said, **entries}
    torch.save(checkpoint, path)


def logs(folder) -> str:
    return ''.join(path.read_text() for path in folder.glob('*/*.log'))


@pytest.mark.slow
def test_another_number_of_processes(run, folder):
    (folder / 'iter_4.pth').unlink()
    with_entries(folder / 'iter_2.pth', processes=2)
    with pytest.raises(UserError, match=r'ran in 2 processes, this one in 1\. .*--resume-anyway'):
        run('--resume')
    run('--resume-anyway')
    assert 'this one in 1; going on as asked' in logs(folder)


def test_another_data_set(run, folder):
    (folder / 'iter_4.pth').unlink()
    with_entries(folder / 'iter_2.pth', data={'images': 2, 'names': ''})
    with pytest.raises(UserError, match=r'training set had 2 images, this one has 3'):
        run('--resume')
    with_entries(folder / 'iter_2.pth', data={'images': 3, 'names': ''})
    with pytest.raises(UserError, match=r'other images or another order of its 3'):
        run('--resume')


def test_another_config_anyway(run, folder):
    (folder / 'iter_4.pth').unlink()
    run('--resume-anyway', '--seed', '3', '--cfg-options', 'train_dataloader.batch_size=1')
    text = logs(folder)
    assert 'randomness.seed is 0 there, 3 here' in text
    assert 'train_dataloader.batch_size is 2 there, 1 here' in text
    checkpoint = torch.load(folder / 'iter_4.pth', weights_only=True)
    assert checkpoint['exact_resume']['samples'] == 2 * 2 + 2 * 1


def test_another_schedule_anyway(run, folder):
    """It has the learning rates of a run that was as long from its beginning; the rest goes on."""
    longer = ['--cfg-options', 'train_cfg.max_iters=6', 'optim_wrapper.optimizer.lr=0.0005']
    with pytest.raises(UserError, match=r'type: another optimiser cannot go on'):
        run('--resume-anyway', '--cfg-options', 'optim_wrapper.optimizer.type=Adam')
    run('--resume-anyway', *longer)
    followed = folder.rename(folder.with_name('followed'))
    one, two = (torch.load(f / 'iter_6.pth', weights_only=True) for f in (followed, run(*longer)))
    for made in (one, two):
        for group in made['optimizer']['param_groups']:
            del group['params']
    assert one['optimizer']['param_groups'] == two['optimizer']['param_groups']
    assert one['param_schedulers'] == two['param_schedulers']
    rates = [line['lr'] for line in killed_runs.logged(followed, 'loss')]
    assert rates[4:] == [line['lr'] for line in killed_runs.logged(folder, 'loss')][4:]
    assert rates[4] > 0


def test_damage_of_any_kind_is_noticed(tmp_path):
    path = tmp_path / 'iter_1.pth'
    torch.save({'state_dict': {'weight': torch.arange(4)}}, path)
    whole, noticed = path.read_bytes(), 0
    assert last_whole_checkpoint(tmp_path) == (path, [])
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            last_whole_checkpoint(tmp_path)  # some bytes mean nothing
        except UserError:
            noticed += 1
    assert noticed > len(whole) / 3


def test_a_copy_of_a_run_is_where_it_lies(tmp_path, finished, miniature):
    copy = shutil.copytree(finished, tmp_path / 'copy')
    before = contents(finished)
    test.main([str(copy / 'config.py'), str(copy / 'iter_4.pth')])
    assert (copy / 'test_copy_iter_4.json').is_file()
    assert contents(finished) == before


def test_a_run_without_a_seed_gets_one(run, finished):
    """Else it could not go on as it began."""
    folder = run('--cfg-options', 'randomness.seed=None')
    assert losses(folder) == losses(finished)
    recorded = Config.fromfile(folder / 'config.py', import_custom_modules=False)
    assert recorded.randomness.seed == 0


def test_checkpoint_of_an_older_version(run, folder):
    (folder / 'iter_4.pth').unlink()
    with_entries(folder / 'iter_2.pth')
    run('--resume')
    assert 'the result will not be exactly that of a run that was never stopped' in logs(folder)


def test_parts_of_a_killed_run_are_removed(run, folder):
    part = folder / '.iter_6.pth.abc.part'
    part.write_bytes(b'half')
    run('--resume')
    assert not part.exists()


def test_of_several_scores_the_first_one_says_what_is_best(tmp_path):
    text = "default_hooks = dict(checkpoint=dict(save_best=['mIoU19', 'IoU.train']))"
    (tmp_path / 'config.py').write_text(text)
    for name in ('best_mIoU19_iter_100.pth', 'best_IoU.train_iter_200.pth'):
        (tmp_path / name).touch()
    assert best_checkpoint(tmp_path).name == 'best_mIoU19_iter_100.pth'
