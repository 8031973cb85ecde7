"""What several training processes must agree on, with gloo on the CPU."""

import logging
import os
import signal
import traceback
from types import SimpleNamespace

import killed_runs
import pytest
import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper

from mmseg_uvpt.engine.hooks import resume
from mmseg_uvpt.engine.hooks.interruption import Interruption, InterruptionHook, Stopped
from mmseg_uvpt.engine.hooks.skipped_iterations import FiniteOptimWrapper
from mmseg_uvpt.engine.training import distributed


def in_two_processes(tmp_path, function) -> None:
    """Run ``function(rank)`` in two processes of one group; it raises where something is wrong."""

    def main(arguments: list[str]) -> None:
        store = f'file://{tmp_path}/store'
        rank = int(arguments[0])
        dist.init_process_group('gloo', init_method=store, rank=rank, world_size=2)
        try:
            function(rank)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    processes = [killed_runs.fork(main, [str(rank)]) for rank in range(2)]
    assert [killed_runs.wait(process) for process in processes] == [0, 0]


@pytest.mark.parametrize('bad', [0, 1])
def test_both_skip_what_is_bad_in_one(tmp_path, bad):
    def check(rank: int) -> None:
        weight = torch.nn.Parameter(torch.ones(1))
        optimizer = FiniteOptimWrapper(torch.optim.SGD([weight], lr=0.5))
        optimizer.update_params(weight.sum() * (float('nan') if rank == bad else 1))
        assert not optimizer.finite_loss.wait()[0]
        assert weight.item() == 1
        optimizer.update_params(weight.sum())
        assert optimizer.finite_loss.wait()[0]
        assert weight.item() == 0.5

    in_two_processes(tmp_path, check)


def test_both_stop_when_one_is_told_to(tmp_path):
    def check(rank: int) -> None:
        class Runner:
            iter, hooks = 0, ()
            logger = logging.getLogger('test')

        interruption = Interruption()
        hook = InterruptionHook(interruption)
        with interruption.listening():
            hook.before_train_epoch(Runner)
            hook.after_train_iter(Runner)  # nobody was told anything
            if rank == 1:
                os.kill(os.getpid(), signal.SIGUSR1)
            with pytest.raises(Stopped):
                hook.after_train_iter(Runner)

    in_two_processes(tmp_path, check)


def test_random_states_and_gradients_of_all_are_kept(tmp_path):
    def check(rank: int) -> None:
        weights = [torch.nn.Parameter(torch.zeros(2)) for _ in range(2)]
        wrapper = OptimWrapper(torch.optim.SGD(weights, lr=1), accumulative_counts=2)
        wrapper.update_params(weights[0].sum() * (rank + 1))
        runner = SimpleNamespace(optim_wrapper=wrapper)
        torch.manual_seed(rank)
        expected = resume.random_states()
        hook: Hook = resume.ExactResumeHook()
        hook.before_checkpoint(runner, 1)
        assert [gradients[0].tolist() for gradients in hook._gradients] == [[0.5, 0.5], [1, 1]]
        assert [gradients[1] for gradients in hook._gradients] == [None, None]
        assert torch.equal(hook._states[rank]['torch'], expected['torch'])
        assert not torch.equal(hook._states[0]['torch'], hook._states[1]['torch'])
        number = torch.rand(())
        hook._loaded = {'random_states': hook._states}
        hook.before_train_epoch(None)
        assert torch.rand(()) == number

    in_two_processes(tmp_path, check)


def test_how_long_they_wait_for_each_other(monkeypatch):
    waits = []
    wait = lambda *_, timeout: waits.append(timeout)  # noqa: E731
    monkeypatch.setattr(distributed.dist, 'init_process_group', wait)
    monkeypatch.setenv('RANK', '0')
    monkeypatch.setattr(distributed, 'die_with', lambda _: None)
    monkeypatch.setattr(distributed.atexit, 'register', lambda _: None)
    distributed.join('pytorch')
    distributed.join('pytorch', 60)
    assert [wait.total_seconds() for wait in waits] == [1800, 60]
