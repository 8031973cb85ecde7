"""Which checkpoint an adaptation ends with, through the scripts."""

import copy
import csv
import json
from pathlib import Path

import killed_runs
import numpy as np
import pytest
import torch
from killed_runs import tensors
from mmengine.registry import LOOPS
from mmengine.runner import ValLoop
from torch import nn

from mmseg_uvpt.engine.inference.judging import Judge
from mmseg_uvpt.engine.inference.renewed_statistics import renewed_statistics
from mmseg_uvpt.engine.scripts import test, train
from mmseg_uvpt.errors import UserError


@pytest.fixture
def adaptation_config(judged_config):
    return judged_config


@pytest.fixture
def adapt(tmp_path, finished, adaptation_config, data_root, pseudo_labels):
    """Adapt in a work folder of its own; return the folder."""

    def start(name: str, *arguments: str) -> Path:
        places = ['--work-dir', str(tmp_path / name), '--data-root', str(data_root)]
        source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
        train.main([str(adaptation_config), *source, *places, *arguments])
        return tmp_path / name

    return start


def record(work: Path) -> dict:
    return json.loads((work / 'selection.json').read_text())


def log(work: Path) -> str:
    return ''.join(path.read_text() for path in sorted(work.glob('*/*.log')))


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_the_best_by_labels_is_selected(adapt, adaptation_config, data_root, tmp_path):
    """And can be tested, and the training is the one that it is without a selection."""
    work = adapt('work')
    with open(work / 'candidates.csv', newline='') as file:
        table = list(csv.DictReader(file))
    assert [int(row['iteration']) for row in table] == [0, 2, 4]
    assert all(value for row in table for name, value in row.items() if 'mIoU_' not in name)
    scores = [float(row['mIoU']) for row in table]
    best = int(np.argmax(scores))
    found = record(work)
    assert (found['asked'], found['rule']) == ('target labels', 'target labels')
    assert found['selected'] == int(table[best]['iteration'])
    last = {'iteration': 4, 'score': scores[2], 'reason': 'it is the last'}
    assert found['choices']['last'] == last
    assert 'guarded' in found['choices']
    assert not (work / 'candidates').exists()
    assert found['sentence'] in log(work)

    out, selected = tmp_path / 'score.json', str(work / 'selected.pth')
    places = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'test')]
    test.main([str(adaptation_config), selected, *places, '--out', str(out)])
    assert json.loads(out.read_text())['mIoU19'] == pytest.approx(scores[best], abs=1e-5)

    without = adapt('without', '--cfg-options', 'default_hooks.selection=None')
    assert not (without / 'selection.json').exists()
    one, two = (killed_runs.left_behind(folder, 4) for folder in (work, without))
    for part in ('state_dict', 'optimizer', 'exact_resume', 'label_correction'):
        assert killed_runs.differences(one[part], two[part]) == []

    before = Path(selected).read_bytes()
    adapt('work', '--resume')
    assert Path(selected).read_bytes() == before
    assert 'no checkpoint is selected when it ends' in log(work)

    adapt('work', '--resume-anyway', '--cfg-options', 'train_cfg.max_iters=5')
    assert not (work / 'selected.pth').exists()  # that was of the first four iterations
    assert (work / 'selected_before_4.pth').read_bytes() == before
    assert 'what a shorter one selected is selected_before_4.pth now' in log(work)


def test_candidates_are_scored_in_whatever_loop_there_is(adapt, monkeypatch, tmp_path):
    monkeypatch.setitem(LOOPS.module_dict, 'OwnLoop', type('OwnLoop', (ValLoop,), {}))
    work = adapt('work', '--cfg-options', 'val_cfg.type=OwnLoop', 'train_cfg.max_iters=2')
    assert [row['iteration'] for row in record(work)['candidates'] if row['score'] > 0] == [0, 2]


def test_without_labels_the_source_may_be_selected(adapt, finished):
    """Where training did harm: with its weights and statistics, and a warning."""
    work = adapt(
        'work',
        '--no-validate',
        '--cfg-options',
        'optim_wrapper.optimizer.lr=1.0',
        'train_cfg.max_iters=2',
    )
    found = record(work)
    assert (found['asked'], found['rule']) == ('target labels', 'guarded')
    assert "'target labels' was asked for, and there are no labels" in log(work)
    early = 'WARNING - the guard cannot tell whether training helps: it has 2 target images, and 5'
    assert early in log(work).partition('Iter(train)')[0]
    assert 'target labels' not in found['choices']
    assert [row['score'] for row in found['candidates']] == [None, None]
    assert found['selected'] == 0
    assert f'WARNING - {found["warning"]}' in log(work)
    source, selected = tensors(finished / 'iter_4.pth'), tensors(work / 'selected.pth')
    assert selected.keys() == tensors(work / 'iter_2.pth').keys()
    for name in ('conv_seg.weight', 'fuse_layer.bottleneck.bn.running_var'):
        name = f'decode_head.{name}'
        assert torch.equal(selected[name], source[name])
        assert not torch.equal(tensors(work / 'iter_2.pth')[name], source[name])
    last, chosen = (torch.load(work / f'{n}.pth')['meta'] for n in ('iter_2', 'selected'))
    assert chosen['adapted_from'] == last['adapted_from'] != []


@pytest.mark.slow
def test_the_last_is_what_training_ends_with(adapt):
    work = adapt('work', '--no-validate', '--cfg-options', 'default_hooks.selection.select=last')
    checkpoint = torch.load(work / 'selected.pth', weights_only=True)
    assert same(checkpoint['state_dict'], tensors(work / 'iter_4.pth'))
    assert checkpoint['meta']['iter'] == 4
    assert len(checkpoint['meta']['dataset_meta']['classes']) == 19


@pytest.mark.slow
@pytest.mark.parametrize('arguments', [(), ('--no-validate',)], ids=['labels', 'no labels'])
def test_a_run_stopped_at_a_candidate_ends_as_one_that_was_not(adapt, monkeypatch, arguments):
    """At each one in turn, when it has been judged and is not yet in the table."""
    whole, judge = adapt('whole', *arguments), Judge.judge

    def stop(self, model, candidates):
        labels = judge(self, model, candidates)
        if candidates[-1].iteration == stopped:
            raise UserError('stopped')
        return labels

    for stopped in (0, 2, 4):
        resume = ['--resume'] if stopped > 2 else []  # the first ends before the run began
        with monkeypatch.context() as patch:
            patch.setattr(Judge, 'judge', stop)
            with pytest.raises(UserError, match='stopped'):
                adapt('stopped', *arguments, *resume)
    resumed = adapt('stopped', *arguments, '--resume')
    for name in ('candidates.csv', 'selection.json'):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert same(*(tensors(work / 'selected.pth') for work in (whole, resumed)))


@pytest.mark.slow
def test_two_processes_select_one(adapt):
    def main(_: list[str]) -> None:
        adapt('two', '--cfg-options', 'train_dataloader.batch_size=1')

    assert killed_runs.statuses_together(main, []) == [0, 0]


@pytest.mark.slow
def test_a_config_without_target_images(adapt):
    work = adapt('work', '--cfg-options', 'target_train_dataloader=None')
    assert 'the config has no target_train_dataloader' in log(work)
    found = record(work)
    assert set(found['choices']) == {'last', 'target labels'}
    assert all(row['criteria'] == {} for row in found['candidates'])


def test_a_rule_that_there_is_not(adapt):
    with pytest.raises(UserError, match="select='best': must be one of 'last', 'guarded'"):
        adapt('work', '--cfg-options', 'default_hooks.selection.select=best')


def test_the_score_that_counts_may_be_of_some_classes(adapt):
    """As that over 16 classes is, where the source is SYNTHIA; its interval is of these, too."""
    option = 'default_hooks.selection.score='
    with pytest.raises(UserError, match=r"score='mIoU_16': an evaluation has mIoU, mIoU19, mIoU16"):
        adapt('wrong', '--cfg-options', f'{option}mIoU_16')
    work = adapt('work', '--cfg-options', f'{option}mIoU16')
    found = record(work)
    assert found['metric'] == 'mIoU16'
    scores = [row['score'] for row in found['candidates']]
    logged = killed_runs.logged(work, 'mIoU16')
    assert scores[-1] == pytest.approx(logged[-1]['mIoU16'], abs=1e-4)


class Segmentor(nn.Module):
    """A batch norm in the backbone and two in the head, of which one is not affine."""

    with_neck = False

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
        self.decode_head = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1),
            nn.BatchNorm2d(2, affine=False), nn.Dropout(0.5),
        )  # fmt: skip

    def forward(self, x: torch.Tensor, mode: str) -> torch.Tensor:
        return self.decode_head(self.backbone(x))


def by_torch(model: Segmentor, parts: list[nn.Module], batches: list[torch.Tensor]) -> Segmentor:
    """Return a copy whose batch norms within parts have the mean of all batches' statistics."""
    found = copy.deepcopy(model).eval()
    for part in (getattr(found, name) for name in parts):
        for module in part.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                module.reset_running_stats()
                module.train()
    with torch.no_grad():
        for batch in batches:
            found(batch, 'tensor')
    return found.eval()


def test_new_statistics_are_those_of_torch():
    """Each batch is normalised by its own; the backbone's are mixed with those of the source."""
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(2, 3, 13, side, generator=draw) * side for side in (12, 13, 16)]
    model = Segmentor().eval()
    nn.init.uniform_(model.backbone[1].running_var, 1, 9)
    mixed, everywhere = copy.deepcopy(model), by_torch(model, ['backbone', 'decode_head'], batches)
    for name in ('running_mean', 'running_var'):
        own, target = (getattr(m.backbone[1], name) for m in (mixed, everywhere))
        own.copy_((own + target) / 2)
    expected = by_torch(mixed, ['decode_head'], batches)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with renewed_statistics(model, lambda: batches):
        torch.testing.assert_close(model(batches[0], 'tensor'), expected(batches[0], 'tensor'))
        assert not same(dict(model.state_dict()), before)
    assert same(dict(model.state_dict()), before)
    assert not any(module._forward_pre_hooks for module in model.modules())
