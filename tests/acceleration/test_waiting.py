"""A training iteration leaves the processor free while a GPU computes."""

import sys
from functools import partial
from unittest.mock import Mock

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_uvpt.acceleration.accelerate import accelerate
from mmseg_uvpt.acceleration.async_copies import HostCopy
from mmseg_uvpt.correction import hook
from mmseg_uvpt.engine.hooks import skipped_iterations
from mmseg_uvpt.ops.lovasz import by_batched_sort, by_histogram


@pytest.mark.slow
def test_nothing_in_losses_and_backward_waits_for_a_gpu(build, labelled):
    """Tensors without data refuse what a processor would wait for: item(), nonzero(), cpu()."""
    model = build('swin-nano_uni-uvpt').to('meta').train()
    accelerate(model)
    labels = torch.empty(2, 64, 64, dtype=torch.long, device='meta')
    losses = model.loss(torch.empty(2, 3, 64, 64, device='meta'), labelled(labels))
    loss = model.parse_losses(losses)[0]
    loss.backward()
    assert all(p.grad is not None for p in model.decode_head.conv_seg.parameters())
    # what this test relies on; and the one thing that goes to main memory
    waiting = (loss.item, loss.cpu, labels.nonzero, lambda: labels[labels > 0])
    for wait in (*waiting, lambda: bool(loss), lambda: HostCopy(*model.last_prediction)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            wait()


@pytest.mark.parametrize('by', [by_batched_sort, partial(by_histogram, bins=64)])
def test_lovasz_on_a_gpu_waits_for_nothing(by):
    rows, labels = torch.empty(19, 50, device='meta'), torch.empty(50, device='meta')
    loss, gradient = by(rows, labels, labels != 255)
    assert loss.shape == ()
    assert gradient.shape == (19, 50)


class _Copies(TorchDispatchMode):
    """Notes the copies between main memory and a fake GPU: whether they are waited for."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            to = torch.device(kwargs.get('device') or args[0].device)
            if to.type != args[0].device.type:
                self.found.append('goes on' if kwargs.get('non_blocking') else 'waits')
        return func(*args, **kwargs)


def test_a_prediction_is_waited_for_when_it_is_used(build, monkeypatch):
    model = build('mit-nano_uni-uvpt')
    event = Mock()
    monkeypatch.setattr(torch.cuda, 'Event', lambda: event)
    with torch.no_grad(), FakeTensorMode(), _Copies() as copies:
        model.scale_weights = torch.nn.Parameter(torch.empty(3, device='cuda'))
        logits = [torch.empty(1, 19, n, n, device='cuda') for n in (8, 4, 16)]
        copied = HostCopy(*model.predict_for_correction(logits, (32, 32)))
        logits[0].sum().cpu()
    assert copies.found == ['goes on', 'goes on', 'waits']
    event.record.assert_called_once()
    assert not event.synchronize.called
    label, _ = copied.wait()
    assert label.shape == (1, 32, 32)
    event.synchronize.assert_called_once()


@pytest.mark.gpu
def test_the_prediction_of_a_gpu_arrives_whole(build, labelled):
    torch.manual_seed(0)
    model = build('mit-nano_uni-uvpt').eval()
    image, labels = torch.randn(1, 3, 256, 256), torch.full((1, 256, 256), 255)
    model.loss(image, labelled(labels))
    expected = model.last_prediction
    model.cuda()
    model.loss(image.cuda(), [s.to('cuda') for s in labelled(labels)])
    label, confidence = HostCopy(*model.last_prediction).wait()
    assert label.is_pinned()
    torch.testing.assert_close(confidence, expected.confidence, rtol=1e-2, atol=1e-3)


@pytest.mark.slow
def test_a_whole_step_waits_for_nothing(build, labelled, monkeypatch):
    """But for copies to main memory, which are queued, nothing needs the tensors' numbers."""
    queued = []
    for module in (hook, skipped_iterations):
        monkeypatch.setattr(module, 'HostCopy', lambda *tensors: queued.append(len(tensors)))
    model = build('swin-nano_uni-uvpt').to('meta').train()
    accelerate(model)
    model.register_forward_hook(partial(hook.LabelCorrectionHook._copy_prediction, Mock()))
    supported = sys.modules['torch.optim.optimizer']  # which the class of that name hides
    monkeypatch.setattr(supported, '_get_fused_kernels_supported_devices', lambda: ['meta'])
    wrapper = skipped_iterations.FiniteOptimWrapper(
        torch.optim.AdamW(model.parameters(), fused=True)
    )
    data = {
        'inputs': [torch.empty(3, 64, 64, dtype=torch.uint8, device='meta')],
        'data_samples': labelled(torch.empty(1, 64, 64, dtype=torch.long, device='meta')),
    }
    logged = model.train_step(data, wrapper)
    assert queued == [2, 1, 1]  # prediction and its confidence; finite loss; finite gradient
    assert len(wrapper.optimizer.state) > 100
    wrapper.optimizer.param_groups[0]['fused'] = False  # then a step has to look at the gradient
    for wait in (logged['loss'].item, lambda: model.train_step(data, wrapper)):
        with pytest.raises(RuntimeError, match='meta'):
            wait()


@pytest.mark.gpu
def test_a_whole_step_on_a_gpu_waits_for_nothing(build, labelled):
    model = build('swin-nano_uni-uvpt', {'backbone.drop_path_rate': 0.3}).cuda().train()
    accelerate(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    wrapper = skipped_iterations.FiniteOptimWrapper(torch.optim.AdamW(trained, fused=True))

    def step():
        samples = labelled(torch.randint(0, 19, (1, 64, 64)))
        images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)]
        model.train_step({'inputs': images, 'data_samples': samples}, wrapper)

    for _ in range(8):  # a block that was dropped until then makes tables of its windows first
        step()
    torch.cuda.set_sync_debug_mode('error')
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    assert wrapper.finite_loss.wait()[0]
    assert wrapper.finite_gradient.wait()[0]
