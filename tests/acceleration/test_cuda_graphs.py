"""CUDA graphs of a training's views and of a network that predicts.

Without a GPU a stand-in for `torch.cuda.make_graphed_callables` runs the modules and records
nothing.
"""

import copy

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from mmseg_uvpt.acceleration import cuda_graphs
from mmseg_uvpt.acceleration.accelerate import accelerate
from mmseg_uvpt.acceleration.capture import CAPTURE, compile_region, is_captured
from mmseg_uvpt.acceleration.compile import CompileOptions, _View, _Views
from mmseg_uvpt.acceleration.cuda_graphs import (
    CapturedNetwork,
    CapturedSteps,
    CaptureError,
    _capturing,
)
from mmseg_uvpt.acceleration.frozen import FrozenLinear
from mmseg_uvpt.acceleration.window_attention import _windows_of

_WITHOUT_DRAWS = {'backbone.drop_path_rate': 0.0, 'decode_head.dropout_ratio': 0.0}


class Noisy(nn.Module):
    """Draws numbers, counts batches, and tells whether it is captured."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.seen = []

    def forward(self, x):
        self.seen.append((is_captured(), torch.is_autocast_cache_enabled()))
        return self.norm(x + torch.rand_like(x))


@pytest.fixture
def warm_up(monkeypatch):
    """A stand-in that only does what comes before capturing; returns the calls it was given."""
    calls = []

    def make(callables, sample_args, num_warmup_iters, allow_unused_input):
        calls.append(sample_args)
        for run, args in zip(callables, sample_args, strict=True):
            for _ in range(num_warmup_iters):
                run(*args)
        return callables

    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', make)
    return calls


@pytest.mark.parametrize('amp', [False, True])
def test_capturing_leaves_no_trace(warm_up, amp):
    """Neither in random numbers nor in batch norms, so that a resumed training records anew."""
    noisy, x = Noisy(), torch.randn(4, 3)
    steps = CapturedSteps([noisy, noisy])
    torch.manual_seed(0)
    expected = [copy.deepcopy(noisy)(x), noisy(x)]
    noisy.norm.reset_running_stats()
    noisy.seen.clear()
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16, enabled=amp):
        found = steps(x)
    torch.testing.assert_close(found, expected)
    assert noisy.seen == [(True, False)] * 6 + [(False, True)] * 2
    assert noisy.norm.num_batches_tracked == 2
    assert len(warm_up) == 1


@pytest.fixture
def graphs(monkeypatch):
    """Let parts be traced into graphs, which run as they are; returns their counter."""
    counter = CompileCounterWithBackend('eager')

    def compiled(part):
        return torch.compile(part, fullgraph=True, dynamic=False, backend=counter)

    monkeypatch.setattr(cuda_graphs, '_compiled', compiled)
    torch._dynamo.reset()
    yield counter
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize(('backbone', 'amp', 'kinds'), [('swin', True, 9), ('mit', False, 8)])
def test_parts_are_compiled_once_a_kind(backbone, amp, kinds, build, graphs):
    """Not once a block: published backbones have up to 52 of them."""
    model = build(f'{backbone}-nano_uni-uvpt', {'backbone.depths': (1, 1, 5, 1)}).train()
    accelerate(model)
    view, image = _View(model, 1.0), torch.randn(1, 3, 128, 128)
    found = []
    for regions in (False, True, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=amp), _capturing(image, regions):
            found.append(view(image))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
    # attention, which Swin shifts in every second block, and feed-forward of each stage; adapters,
    # generator and head
    assert graphs.frame_count == kinds + 4 + 2


def test_parts_that_cannot_be_compiled_are_captured_as_they_are(warm_up, monkeypatch):
    class Doubling(nn.Module):
        @compile_region
        def forward(self, x):
            return 2 * x

    def broken(part):
        raise FileNotFoundError('no C compiler')

    said = []
    monkeypatch.setattr(cuda_graphs, 'print_log', lambda text, *_: said.append(text))
    monkeypatch.setattr(cuda_graphs, '_compiled', broken)
    steps, x = CapturedSteps([Doubling()]), torch.ones(3, requires_grad=True)
    torch.testing.assert_close(steps(x), [2 * x])
    assert len(warm_up) == 2
    assert said[1].endswith('one without them is: no C compiler')
    steps(x)
    assert len(said) == 3


def test_other_sizes_run_as_they_are(warm_up):
    linear = nn.Linear(3, 3)
    steps = CapturedSteps([linear])
    for rows in (4, 2, 4):
        x = torch.randn(rows, 3)
        torch.testing.assert_close(steps(x), [linear(x)])
    assert len(warm_up) == 1


def test_nothing_is_captured_without_gradients(warm_up):
    """It would have none later either."""
    steps = CapturedSteps([nn.Linear(3, 3)])
    with torch.no_grad():
        steps(torch.randn(4, 3))
    assert not warm_up
    steps(torch.randn(4, 3))
    assert len(warm_up) == 1


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (RuntimeError('operation not permitted\nand more'), 'operation not permitted'),
        (AssertionError(), r'AssertionError\(\)'),
    ],
)
def test_what_cannot_be_captured_says_why(error, reason, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch.cuda, 'make_graphed_callables', fail)
    norm = nn.BatchNorm1d(3)
    with pytest.raises(CaptureError, match=f'^{reason}$'):
        CapturedSteps([norm])(torch.randn(4, 3))
    assert norm.num_batches_tracked == 0
    assert not is_captured()


def test_a_graph_keeps_what_caches_drop(warm_up, build):
    """Tables of windows and weights in half precision: it reads them where they lay."""
    model = build('swin-nano_uni-uvpt')
    accelerate(model)
    _windows_of.cache_clear()
    steps = CapturedSteps([model.backbone], regions=False)
    with torch.autocast('cpu', torch.bfloat16):
        steps(torch.randn(1, 3, 64, 64))
        layer = model.backbone.staged.stages[0].blocks[0].ffn.layers[1]
        copies = layer.cast(torch.bfloat16)
    tables = [t for t in steps._read if isinstance(t, list)]
    assert len({id(t) for t in tables}) == _windows_of.cache_info().currsize > 0
    assert any(kept[1] is copies[0] for kept in steps._read if isinstance(kept, tuple))


def test_a_graph_keeps_what_compiled_parts_do_not_tell_that_they_read(warm_up, build, monkeypatch):
    def unheard(part):
        def run(*args):
            token = CAPTURE.set(None)
            try:
                return part(*args)
            finally:
                CAPTURE.reset(token)

        return run

    monkeypatch.setattr(cuda_graphs, '_compiled', unheard)
    model = build('swin-nano_uni-uvpt')
    accelerate(model)
    steps = CapturedSteps([model.backbone])
    with torch.autocast('cpu', torch.bfloat16):
        steps(torch.randn(1, 3, 64, 64))
        layers = [m for m in model.modules() if isinstance(m, FrozenLinear)]
        copies = [layer.cast(torch.bfloat16)[0] for layer in layers]
    kept = [t for one in steps._read if isinstance(one, tuple) for t in one]
    assert len(copies) > 10
    assert all(any(t is copy for t in kept) for copy in copies)


def test_a_copy_is_not_captured_and_has_weights_of_its_own(warm_up):
    linear = nn.Linear(3, 3)
    steps, x = CapturedSteps([linear]), torch.randn(4, 3)
    steps(x)
    other = copy.deepcopy(steps)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
    assert not other._captured
    assert other(x)[0].abs().sum() > 0
    assert len(warm_up) == 2


def test_a_network_that_cannot_be_captured_runs_as_it_is(monkeypatch):
    """And is tried once, not with each batch."""

    def fail(*_):
        raise CaptureError('out of memory')

    said = []
    monkeypatch.setattr(CapturedNetwork, '_capture', fail)
    network = CapturedNetwork(torch.sin, said.append)
    for _ in range(2):
        torch.testing.assert_close(network(torch.ones(2)), torch.ones(2).sin())
    assert said == ['out of memory']


def test_views_that_cannot_be_captured_run_as_they_are(build, labelled, monkeypatch):
    model = build('swin-nano_uni-uvpt', _WITHOUT_DRAWS).train()
    image = torch.randn(1, 3, 64, 64)
    samples = labelled(torch.randint(0, 19, (1, 64, 64)))

    def fail(*_):
        raise CaptureError('several processes train together')

    expected = model.loss(image, samples)
    monkeypatch.setattr(CapturedSteps, '_capture', fail)
    model.run_views = _Views(model, CapturedSteps([nn.Identity()]))
    torch.testing.assert_close(model.loss(image, samples), expected)
    assert model.run_views.compiled is None


def step_of(model, labelled, optimizer, amp):
    """Make a step with images that depend on how many there were; return loss and gradient."""
    images = torch.randn(1, 3, 64, 64, device='cuda')
    samples = labelled(torch.randint(0, 19, (1, 64, 64), device='cuda'))
    optimizer.zero_grad()
    with torch.autocast('cuda', torch.bfloat16, enabled=amp):
        loss = model.parse_losses(model.loss(images, samples))[0]
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    optimizer.step()
    return loss.detach(), gradient


@pytest.fixture
def uncompiled(monkeypatch):
    """Leave parts as they are, since compiling them takes minutes."""
    monkeypatch.setattr(cuda_graphs, '_compiled', lambda part: part)


@pytest.mark.gpu
@pytest.mark.parametrize('backbone', ['swin', 'mit'])
def test_fused_parts_give_the_same(backbone, build, monkeypatch):
    """Compiled for a GPU a view has the same outputs and gradients, but for rounding."""
    model = build(f'{backbone}-nano_uni-uvpt').cuda().train()
    accelerate(model)
    image = torch.randn(1, 3, 64, 64, device='cuda')
    said, found = [], []
    monkeypatch.setattr(cuda_graphs, 'print_log', lambda text, *_: said.append(text))
    for regions in (False, True):
        steps = CapturedSteps([_View(model, 2.0)], regions)
        with torch.autocast('cuda', torch.bfloat16):
            torch.manual_seed(0)
            ((logits, prompts),) = steps(image)
        model.zero_grad()
        sum(x.square().mean() for x in (logits, *prompts)).backward()
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        outputs = {str(i): x.detach().clone() for i, x in enumerate((logits, *prompts))}
        found.append(outputs | grads)
    assert not [line for line in said if 'cannot' in line]
    whole = sum(float(x.norm() ** 2) for x in found[0].values()) ** 0.5
    for name, x in found[0].items():
        error = (found[1][name] - x).norm()
        assert error < 0.1 * x.norm() + 1e-4 * whole, name


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [False, True])
@pytest.mark.parametrize('backbone', ['swin', 'mit'])
def test_captured_views_train_alike(backbone, amp, build, labelled, uncompiled):
    """Over several steps: weights that have changed are seen, and so are batch norms."""
    plain = build(f'{backbone}-nano_uni-uvpt', _WITHOUT_DRAWS).cuda().train()
    captured = copy.deepcopy(plain)
    accelerate(plain)
    accelerate(captured, compile=CompileOptions())
    runs = []
    for model in (plain, captured):
        torch.manual_seed(0)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.1)  # AdamW makes whole steps of what is rounding
        runs.append([step_of(model, labelled, optimizer, amp) for _ in range(4)])
    assert isinstance(captured.run_views.compiled, CapturedSteps)
    assert captured.run_views.compiled._captured
    for (loss, gradient), (other, others) in zip(*runs, strict=True):
        torch.testing.assert_close(other, loss, rtol=2e-2 if amp else 1e-3, atol=0)
        # gradients of other images, or of weights that have not changed, differ by more than all;
        # atomics sum in another order each time, and by that order Lovasz-softmax sorts pixels
        assert (others - gradient).norm() < (0.25 if amp else 0.05) * gradient.norm()
    assert len({float(loss) for loss, _ in runs[1]}) == 4
    for (name, a), b in zip(plain.named_buffers(), captured.buffers(), strict=True):
        if 'running' in name or 'num_batches' in name:
            torch.testing.assert_close(a, b, rtol=2e-2, atol=1e-2, msg=name)


@pytest.mark.gpu
def test_captured_views_draw_anew_in_each_step(build, labelled, uncompiled):
    """Drop path and dropout differ between steps, and a seed gives them again."""
    model = build('swin-nano_uni-uvpt', {'backbone.drop_path_rate': 0.5}).cuda().train()
    accelerate(model, compile=CompileOptions())
    image = torch.randn(1, 3, 64, 64, device='cuda')
    samples = labelled(torch.randint(0, 19, (1, 64, 64), device='cuda'))

    def losses():
        torch.manual_seed(0)
        return [float(model.parse_losses(model.loss(image, samples))[0]) for _ in range(3)]

    first = losses()
    assert len(set(first)) == 3
    assert losses() == pytest.approx(first, rel=1e-4)
    assert model.run_views.compiled._captured


@pytest.mark.gpu
@pytest.mark.parametrize('amp', [False, True])
def test_a_captured_network_gives_the_same_bits(amp, build):
    model = build('swin-nano_uni-uvpt').cuda().eval()
    accelerate(model)
    said = []
    captured = CapturedNetwork(model._forward, said.append)
    with torch.inference_mode(), torch.autocast('cuda', torch.bfloat16, enabled=amp):
        batches = [torch.randn(2, 3, side, side, device='cuda') for side in (64, 96, 64, 64)]
        found = [captured(images) for images in batches]  # each is its own, not the graph's
        for images, logits in zip(batches, found, strict=True):
            torch.testing.assert_close(logits, model._forward(images), rtol=0, atol=0)
    assert not said
    assert len(captured._graphs) == 2
    assert cuda_graphs.SHAPES > 2


@pytest.mark.gpu
def test_views_that_run_twice_are_not_captured(build):
    model = build('swin-nano_uni-uvpt').cuda().train()
    accelerate(model, low_memory=True, compile=CompileOptions())
    assert 'run_views' not in vars(model)
