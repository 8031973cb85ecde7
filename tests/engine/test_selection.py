"""Which checkpoint an adaptation ends with, through the scripts."""

import csv
import json

import killed_runs
import numpy as np
import pytest
import torch
from torch import nn

from mmseg_uvpt.engine.inference.judging import Judge
from mmseg_uvpt.engine.inference.renewed_statistics import renewed_statistics
from mmseg_uvpt.engine.scripts import test, train
from mmseg_uvpt.errors import UserError

SCORED = 'mIoU19'


@pytest.fixture
def adapt(tmp_path, finished, adaptation_config, data_root, pseudo_labels):
    """Adapt in a work folder of its own; return the folder."""

    def start(name: str, *arguments: str, script=train.main):
        places = ['--work-dir', str(tmp_path / name), '--data-root', str(data_root)]
        source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
        script([str(adaptation_config), *source, *places, *arguments])
        return tmp_path / name

    return start


def rows(work) -> list[dict]:
    with open(work / 'candidates.csv', newline='') as file:
        return list(csv.DictReader(file))


def record(work) -> dict:
    return json.loads((work / 'selection.json').read_text())


def log(work) -> str:
    return ''.join(path.read_text() for path in sorted(work.glob('*/*.log')))


def tensors(path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)['state_dict']


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_the_best_by_labels_is_selected_and_can_be_tested(
    adapt, adaptation_config, data_root, finished, tmp_path
):
    work = adapt('work')
    table, found = rows(work), record(work)
    assert [int(row['iteration']) for row in table] == [0, 2, 4]
    assert all(value for row in table for name, value in row.items() if 'mIoU_' not in name)
    scores = [float(row['mIoU']) for row in table]
    best = int(np.argmax(scores))
    assert found['rule'] == 'target labels'
    assert found['selected'] == int(table[best]['iteration'])
    assert found['choices']['last'] == {
        'iteration': 4,
        'score': scores[2],
        'reason': 'it is the last',
    }
    assert {'guarded', 'target labels'} <= found['choices'].keys()
    assert not (work / 'candidates').exists()
    assert found['sentence'] in log(work)
    (trained,) = (p for p in work.glob('best_*_iter_*.pth'))  # as ever: of what was trained
    assert not trained.name.endswith('iter_0.pth')

    out = tmp_path / 'score.json'
    places = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'test')]
    test.main([str(adaptation_config), str(work / 'selected.pth'), *places, '--out', str(out)])
    assert json.loads(out.read_text())[SCORED] == pytest.approx(scores[best], abs=1e-5)


def test_the_source_model_is_a_candidate(adapt, finished):
    """Where training does harm it is what is selected, and the log says so."""
    options = ['optim_wrapper.optimizer.lr=1.0', 'default_hooks.selection.select=guarded']
    work = adapt('work', '--cfg-options', *options)
    found = record(work)
    assert found['selected'] == 0
    source = tensors(finished / 'iter_4.pth')
    selected = tensors(work / 'selected.pth')
    assert torch.equal(
        selected['decode_head.conv_seg.weight'], source['decode_head.conv_seg.weight']
    )
    for name in ('running_mean', 'running_var'):
        name = f'decode_head.fuse_layer.bottleneck.bn.{name}'
        assert torch.equal(selected[name], source[name])
    scores = {row['iteration']: row['score'] for row in found['candidates']}
    if scores[4] < scores[0]:
        assert 'the source model' in found['warning']
        assert f'WARNING - {found["warning"]}' in log(work)


def test_the_last_is_what_training_ends_with(adapt):
    work = adapt('work', '--no-validate', '--cfg-options', 'default_hooks.selection.select=last')
    checkpoint = torch.load(work / 'selected.pth', weights_only=True)
    assert same(checkpoint['state_dict'], tensors(work / 'iter_4.pth'))
    assert checkpoint['meta']['iter'] == 4
    assert len(checkpoint['meta']['dataset_meta']['classes']) == 19
    assert [row['mIoU'] for row in rows(work)] == ['', '', '']


def test_without_labels_the_guarded_one_is_selected(adapt):
    work = adapt('work', '--no-validate')
    found = record(work)
    assert (found['asked'], found['rule']) == ('target labels', 'guarded')
    assert "'target labels' was asked for, and there are no labels" in log(work)
    assert 'target labels' not in found['choices']


def test_the_training_itself_is_the_same(adapt):
    """No random number is drawn, and nothing of the model stays changed."""
    with_selection = adapt('with')
    without = adapt('without', '--cfg-options', 'default_hooks.selection=None')
    assert not (without / 'selection.json').exists()
    one, two = (killed_runs.left_behind(work, 4) for work in (with_selection, without))
    for part in ('state_dict', 'optimizer', 'exact_resume', 'label_correction', 'best'):
        assert killed_runs.differences(one[part], two[part]) == []


@pytest.mark.parametrize('iteration', [0, 2, 4])
def test_a_run_that_is_stopped_at_a_candidate_ends_as_one_that_was_not(
    adapt, monkeypatch, iteration
):
    whole = adapt('whole')
    judge = Judge.judge

    def stop(self, model, candidates):
        labels = judge(self, model, candidates)
        if candidates[-1].iteration == iteration:
            raise UserError('stopped')
        return labels

    with monkeypatch.context() as patch:
        patch.setattr(Judge, 'judge', stop)
        with pytest.raises(UserError, match='stopped'):
            adapt('stopped')
    resumed = adapt('stopped', *(['--resume'] if iteration else []))
    for name in ('candidates.csv', 'selection.json'):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert same(*(tensors(work / 'selected.pth') for work in (whole, resumed)))


def test_a_finished_run_is_not_selected_again(adapt):
    work = adapt('work')
    before = (work / 'selected.pth').read_bytes()
    adapt('work', '--resume')
    assert (work / 'selected.pth').read_bytes() == before
    assert 'no checkpoint is selected when it ends' in log(work)


def test_a_config_without_target_images(adapt):
    work = adapt('work', '--cfg-options', 'target_train_dataloader=None')
    assert 'the config has no target_train_dataloader' in log(work)
    found = record(work)
    assert set(found['choices']) == {'last', 'target labels'}
    assert all(row['criteria'] == {} for row in found['candidates'])


def test_a_rule_that_there_is_not(adapt):
    with pytest.raises(UserError, match="select='best': must be one of 'last', 'guarded'"):
        adapt('work', '--cfg-options', 'default_hooks.selection.select=best')


class Segmentor(nn.Module):
    """A head with two batch norms behind each other, of which one is not affine."""

    with_neck = False

    def __init__(self):
        super().__init__()
        self.decode_head = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1),
            nn.BatchNorm2d(2, affine=False), nn.Dropout(0.5),
        )  # fmt: skip

    def forward(self, x: torch.Tensor, mode: str) -> torch.Tensor:
        return self.decode_head(x)


def test_new_statistics_are_those_of_torch():
    """Each batch is normalised by its own, and their mean counts; afterwards all is as it was."""
    draw = torch.Generator().manual_seed(0)
    batches = [torch.randn(2, 3, 9, side, generator=draw) * side for side in (8, 9, 12)]
    model, expected = Segmentor().eval(), Segmentor()
    expected.load_state_dict(model.state_dict())
    for module in expected.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
            module.train()
        else:
            module.training = False
    with torch.no_grad():
        for batch in batches:
            expected(batch, 'tensor')
    expected.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with renewed_statistics(model, batches):
        torch.testing.assert_close(model(batches[0], 'tensor'), expected(batches[0], 'tensor'))
        assert not same(dict(model.state_dict()), before)
    assert same(dict(model.state_dict()), before)
    assert not any(module._forward_pre_hooks for module in model.modules())
