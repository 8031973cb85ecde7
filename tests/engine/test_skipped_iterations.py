"""Iterations whose loss or gradient is not finite."""

import re

import pytest
import torch
from mmseg.models import SegDataPreProcessor

from mmseg_uvpt.engine.hooks.skipped_iterations import FiniteOptimWrapper
from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeCheckpointHook
from mmseg_uvpt.errors import UserError


@pytest.fixture
def spoil(monkeypatch):
    """Make the network see NaN in the training iterations that are asked for."""

    def spoil(*iterations: int) -> None:
        forward, count = SegDataPreProcessor.forward, [-1]

        def spoilt(self, data, training=False):
            data = forward(self, data, training)
            if training:
                count[0] += 1
                if count[0] in iterations:
                    data['inputs'] = data['inputs'] * float('nan')
            return data

        monkeypatch.setattr(SegDataPreProcessor, 'forward', spoilt)

    return spoil


def test_a_skipped_iteration_changes_nothing(run, spoil):
    spoil(1)
    folder = run('--cfg-options', 'default_hooks.checkpoint.interval=1')
    state = torch.load(folder / 'iter_4.pth', weights_only=True)
    assert all(torch.isfinite(v).all() for v in state['state_dict'].values())
    steps = {int(s['step']) for s in state['optimizer']['state'].values()}
    assert steps == {3}  # of four iterations
    assert {s['_global_step'] for s in state['param_schedulers']} == {4}
    scalars = state['message_hub']['log_scalars']
    assert scalars['train/skipped'][0].tolist() == [1]
    assert len(scalars['train/loss'][0]) == 3
    assert torch.isfinite(scalars['train/loss'][0]).all()
    log = next(folder.glob('*/*.log')).read_text()
    assert re.search(r'iteration 1 skipped, 1 so far: its loss .* images: .*/0000\d\.png', log)


def test_batch_norms_are_as_before(run, spoil, monkeypatch):
    spoil(1)
    kept, outputs_of = {}, {}

    def note(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        kept[batch_idx] = {k: v.clone() for k, v in runner.model.state_dict().items()}
        outputs_of[batch_idx] = dict(outputs)

    monkeypatch.setattr(WholeCheckpointHook, 'after_train_iter', note)
    run()
    assert any('running_mean' in name for name in kept[0])
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])
    assert not all(torch.equal(kept[1][name], kept[2][name]) for name in kept[0])
    assert [i for i, outputs in outputs_of.items() if 'skipped' in outputs] == [1]
    assert outputs_of[1]['loss'].isnan()  # what it gave is there to be looked at


def test_too_many_in_a_row(run, spoil):
    spoil(2, 3)
    with pytest.raises(UserError, match=r'loss of 2 iterations .*/0000\d\.png.*iter_2\.pth'):
        run('--cfg-options', 'max_skipped_in_a_row=2')


def test_not_in_a_row(run, spoil):
    spoil(0, 3)
    run('--cfg-options', 'max_skipped_in_a_row=2')


@pytest.fixture
def spoil_gradient(monkeypatch):
    """Make a gradient infinite in the training iterations that are asked for."""

    def spoil(*iterations: int) -> None:
        backward, count = FiniteOptimWrapper.backward, [-1]

        def spoilt(self, loss, **kwargs):
            backward(self, loss, **kwargs)
            count[0] += 1
            if count[0] in iterations:
                self.optimizer.param_groups[0]['params'][0].grad[:] = float('inf')

        monkeypatch.setattr(FiniteOptimWrapper, 'backward', spoilt)

    return spoil


@pytest.mark.parametrize('fused', [True, False])
def test_gradient_that_is_not_finite(run, spoil_gradient, fused):
    spoil_gradient(1, 3)
    folder = run('--cfg-options', f'optim_wrapper.optimizer.fused={fused}')
    after = [torch.load(folder / f'iter_{i}.pth', weights_only=True) for i in (2, 4)]
    for state, steps in zip(after, (1, 2), strict=True):
        assert all(torch.isfinite(v).all() for v in state['state_dict'].values())
        assert {int(s['step']) for s in state['optimizer']['state'].values()} == {steps}
        assert state['message_hub']['log_scalars']['train/skipped'][0].tolist()[-1] == steps
    log = next(folder.glob('*/*.log')).read_text()
    assert re.search(r'iteration 1 skipped, 1 so far: its gradient .* images: .*/0000\d\.png', log)
    assert 'iteration 3 skipped, 2 so far: its gradient' in log


def test_losses_and_gradients_in_a_row(run, spoil, spoil_gradient):
    spoil(2)
    spoil_gradient(1)
    with pytest.raises(UserError, match=r'the loss of 2 iterations .*iter_2\.pth'):
        run('--cfg-options', 'max_skipped_in_a_row=2')


def test_the_last_gradient(run, spoil_gradient):
    spoil_gradient(3)
    with pytest.raises(UserError, match=r'the gradient of 1 iterations .*iter_2\.pth'):
        run('--cfg-options', 'max_skipped_in_a_row=1')


def test_bad_weights_are_not_saved(run, monkeypatch):
    step, count = FiniteOptimWrapper.step, [0]

    def spoil(self, **kwargs):
        step(self, **kwargs)
        count[0] += 1
        if count[0] == 4:
            self.optimizer.param_groups[0]['params'][0].data[:] = float('nan')

    monkeypatch.setattr(FiniteOptimWrapper, 'step', spoil)
    with pytest.raises(UserError, match=r'4 iterations 1 weights .* good one is .*iter_2\.pth'):
        run()


def test_a_bad_gradient_counts_once_where_losses_are_gathered():
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([weight], fused=True)
    wrapper = FiniteOptimWrapper(optimizer, accumulative_counts=2)
    known = []
    for loss in (weight.sum, lambda: (weight - 1).sqrt().sum(), weight.sum, weight.sum):
        wrapper.update_params(loss())  # the second is 0 with an infinite gradient
        known.append(wrapper.finite_gradient and bool(wrapper.finite_gradient.wait()[0]))
    assert known == [None, False, None, True]


def test_iterations_that_only_add_a_gradient_do_not_end_a_row(run, spoil, spoil_gradient):
    added = 'optim_wrapper.accumulative_counts=2'
    spoil_gradient(1, 3)
    with pytest.raises(UserError, match=r'the gradient of 2 iterations in a row'):
        run('--cfg-options', added, 'max_skipped_in_a_row=2')


def test_a_loss_that_spoils_a_step_is_blamed_alone(run, spoil):
    spoil(0)
    folder = run('--cfg-options', 'optim_wrapper.accumulative_counts=2')
    log = next(folder.glob('*/*.log')).read_text()
    told = ['iteration 0 skipped, 1 so far: its loss']
    assert re.findall(r'iteration \d skipped.*?its \w+', log) == told


def test_a_run_stopped_before_a_spoilt_step_goes_on_as_it_would_have(run, spoil, monkeypatch):
    """The method is not told of a step that was not made, and no sound image is blamed."""
    outputs_of, save = {}, WholeCheckpointHook.after_train_iter

    def note(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        outputs_of[runner.iter] = set(outputs)
        save(self, runner, batch_idx, data_batch, outputs)

    monkeypatch.setattr(WholeCheckpointHook, 'after_train_iter', note)
    checkpoints = ['interval=1', 'max_keep_ckpts=-1']
    added = ['--cfg-options', 'optim_wrapper.accumulative_counts=2']
    added += [f'default_hooks.checkpoint.{each}' for each in checkpoints]
    spoil(2)
    folder = run(*added)
    assert [i for i, outputs in outputs_of.items() if 'no_step' in outputs] == [3]
    logged = torch.load(folder / 'iter_4.pth', weights_only=True)['message_hub']['log_scalars']
    assert 'train/no_step' not in logged
    kept = torch.load(folder / 'iter_3.pth', weights_only=True)['skipped_iterations']
    assert (kept['_is_spoilt'], kept['_length']) == (True, 1)
    (folder / 'iter_4.pth').unlink()
    outputs_of.clear()
    run(*added, '--resume')
    assert 'no_step' in outputs_of[3]
    log = max(folder.glob('*/*.log')).read_text()
    assert 'skipped, ' not in log.partition('resumed')[2]
