"""Two processes on the CPU do what one does, and lose nothing when one of them dies."""

import json
import os
import random
import signal
import time

import killed_runs
import numpy as np
import pytest
import torch
from killed_runs import tensors

from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train
from mmseg_uvpt.engine.training import run
from mmseg_uvpt.errors import UserError

ITERATIONS = 8


def in_two(main, arguments: list, nodes: int = 1) -> None:
    arguments = list(map(str, arguments))
    assert killed_runs.statuses_together(main, arguments, nodes=nodes) == [0, 0]


@pytest.fixture
def place(miniature) -> list[str]:
    return ['--data-root', str(miniature / 'data')]


@pytest.fixture
def adaptation(tmp_path, adaptation_config, finished, place) -> list[str]:
    """Arguments of an adaptation that corrects much; they end with those for the config."""
    source, labels = str(finished / 'iter_4.pth'), str(tmp_path / 'labels')
    where = ['--checkpoint', source, '--pseudo_label_dir', labels]
    generate_pseudo_label.main(['--config', str(adaptation_config), *where, *place])
    arguments = [str(adaptation_config), '--source-checkpoint', source, *place]
    correction = 'default_hooks.label_correction'
    return [
        *(*arguments, '--pseudo-label-dir', labels, '--cfg-options'),
        *(f'train_cfg.max_iters={ITERATIONS}', 'train_cfg.val_interval=4'),
        'train_dataloader.batch_size=1',
        *(f'{correction}.slope=0.0', f'{correction}.quantile=0.3'),
        'model.backbone.drop_path_rate=0.3',
    ]


def test_training(tmp_path, source_config, place):
    """Batches, batch norms, gradients: weights agree after four iterations."""
    arguments = [source_config, *place, '--cfg-options', 'train_dataloader.batch_size=1']
    in_two(pretrain.main, [*arguments, '--work-dir', tmp_path / 'two'])
    options = [*map(str, arguments[:-1]), 'train_dataloader.batch_size=2']
    pretrain.main([*options, '--work-dir', str(tmp_path / 'one')])
    one, two = (tensors(tmp_path / folder / 'iter_4.pth') for folder in ('one', 'two'))
    before = tensors(tmp_path / 'one/iter_2.pth')
    assert list(one) == list(two)
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=5e-4, msg=name)
    assert sum(not torch.equal(before[name], tensor) for name, tensor in one.items()) > len(one) / 2


def test_scores(tmp_path, source_config, finished, place, monkeypatch):
    """What is counted passes from process to process, not through the current folder."""
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    arguments = [str(source_config), str(finished / 'iter_4.pth'), *place, '--out']
    in_two(test.main, [*arguments, tmp_path / 'two.json', '--work-dir', tmp_path / 'two'])
    test.main([*arguments, str(tmp_path / 'one.json'), '--work-dir', str(tmp_path / 'one')])
    one, two = (json.loads((tmp_path / f'{n}.json').read_text()) for n in ('one', 'two'))
    for key in ('frames', 'intersection', 'union', 'mIoU'):
        assert one[key] == two[key]
    assert not list((tmp_path / 'here').iterdir())


def test_pseudo_labels(tmp_path, adaptation_config, finished, place):
    """Three frames, of which the first is there already: each process makes one."""
    arguments = ['--config', str(adaptation_config), '--checkpoint', str(finished / 'iter_4.pth')]
    arguments += [*place, '--pseudo_label_dir']
    one, two = tmp_path / 'one', tmp_path / 'two'
    generate_pseudo_label.main([*arguments, str(one)])
    generate_pseudo_label.main([*arguments, str(two)])
    names = sorted(path.relative_to(one) for path in one.rglob('*.png'))
    for name in names[1:]:
        (two / name).unlink()
    journal = two / 'pseudo_label_confidences.jsonl'
    journal.write_text(journal.read_text().splitlines()[0][:-1])  # cut short by a kill
    in_two(generate_pseudo_label.main, [*arguments, two])
    for name in names:
        assert (two / name).read_bytes() == (one / name).read_bytes()
    assert len(list(two.glob('*.jsonl'))) == 2
    reports = [json.loads((path / 'pseudo_labels.json').read_text()) for path in (one, two)]
    assert [report['images'] for report in reports] == [3, 3]
    assert [report['images_with_confidence'] for report in reports] == [3, 2]
    for name in reports[0]['classes']:
        assert len({report['classes'][name]['frequency'] for report in reports}) == 1
    generate_pseudo_label.main([*arguments, str(two), '--force'])
    assert len(list(two.glob('*.jsonl'))) == 1
    report = json.loads((two / 'pseudo_labels.json').read_text())
    assert report['classes'] == reports[0]['classes']


@pytest.mark.slow
def test_thresholds_of_pseudo_labels(tmp_path, source_config, finished, place):
    arguments = ['--config', str(source_config), '--checkpoint', str(finished / 'iter_4.pth')]
    arguments += [*place, '--class-quantile', '0.4', '--aug-test', '--pseudo_label_dir']
    one, two = tmp_path / 'one', tmp_path / 'two'
    generate_pseudo_label.main([*arguments, str(one)])
    in_two(generate_pseudo_label.main, [*arguments, two])
    reports = [json.loads((path / 'pseudo_labels.json').read_text()) for path in (one, two)]
    for key in ('thresholds', 'labelled_share', 'tta_pipeline'):
        assert reports[0][key] == reports[1][key]
    for path in one.rglob('*.png'):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


@pytest.mark.slow
def test_all_go_on_from_one_checkpoint(tmp_path, source_config, place, monkeypatch):
    """That of process 0: another may have looked before the earlier run wrote its last one."""
    folder, options = tmp_path / 'run', ['train_dataloader.batch_size=1', 'train_cfg.max_iters=3']
    arguments = [source_config, *place, '--work-dir', folder, '--cfg-options', *options]
    in_two(pretrain.main, arguments)
    (folder / 'iter_3.pth').rename(tmp_path / 'whole.pth')
    claim = run.claim.claim

    def claim_too_early(*args):
        found = claim(*args)
        return found if os.environ['RANK'] == '0' else found._replace(checkpoint=None)

    monkeypatch.setattr(run.claim, 'claim', claim_too_early)
    processes = killed_runs.fork_together(pretrain.main, [*map(str, arguments), '--resume'])
    assert [killed_runs.kill_after(process, 60) for process in processes] == [0, 0]  # none waits
    one, two = (tensors(path) for path in (tmp_path / 'whole.pth', folder / 'iter_3.pth'))
    assert killed_runs.differences(one, two) == []


@pytest.mark.slow
@pytest.mark.parametrize('most', [1, 4])
def test_one_is_killed(tmp_path, adaptation, capfd, most):
    """The other says so and ends; resumed, the run ends as one that was never stopped."""
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    in_two(train.main, [*adaptation, '--work-dir', whole])
    moments = random.Random(2)
    kills = 0
    while kills < most:
        resume = ['--resume'] if (killed / 'config.py').is_file() else []
        # the first process makes many of the calls at which one can be killed in an iteration
        number = [(moments.randint(1, 30), 0), (0, moments.randint(1, 3))][kills % 2]
        arguments = [*adaptation, '--work-dir', str(killed), *resume]
        capfd.readouterr()
        processes = killed_runs.fork_together(train.main, arguments, number)
        statuses = dict.fromkeys(processes)
        first = next(p for p, count in zip(processes, number, strict=True) if count)
        statuses[first] = killed_runs.wait(first)
        begin = time.monotonic()
        (other,) = set(processes) - {first}
        status = killed_runs.wait(other)
        if statuses[first] == 0:  # the run ended earlier
            assert status == 0
            break
        assert statuses[first] == -signal.SIGKILL
        assert status == 1
        assert time.monotonic() - begin < 60
        error = capfd.readouterr().err
        assert 'another process of this run has ended' in error
        assert 'Traceback' not in error
        kills += 1
    assert kills > most // 2
    if statuses[first]:
        in_two(train.main, [*adaptation, '--work-dir', killed, '--resume'], nodes=2)
    a, b = (killed_runs.left_behind(folder, ITERATIONS) for folder in (whole, killed))
    assert killed_runs.differences(a, b) == []
    assert np.any(a['label_correction']['rule']['thresholds'].numpy() < 1)


def test_a_launcher_without_its_processes(tmp_path, source_config, place):
    arguments = [str(source_config), '--work-dir', str(tmp_path / 'run'), *place]
    with pytest.raises(UserError, match='--launcher pytorch is for processes that torchrun starts'):
        pretrain.main([*arguments, '--launcher', 'pytorch'])
    with pytest.raises(UserError, match='--launcher mpi needs GPUs'):
        pretrain.main([*arguments, '--launcher', 'mpi'])
