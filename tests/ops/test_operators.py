"""The compiled operators inside torch: its own checks, torch.compile, CUDA graphs, determinism."""

import pytest
import torch

from mmseg_uvpt.ops import DeformableAttention, backends, check
from mmseg_uvpt.ops.tokens import flat

SIZES = [(4, 5), (2, 3)], [(3, 4)]


def operator_and_arguments(entry: str, device: str):
    given = check.arguments(entry, *SIZES).to(device, torch.float32)
    if entry == 'fused':
        arguments = (given.value, flat(SIZES[0]), *given.samples, flat(SIZES[1]))
        return torch.ops.uvpt.fused_deformable_attention, arguments
    return torch.ops.uvpt.deformable_attention, (given.value, flat(SIZES[0]), *given.samples)


@pytest.mark.parametrize('entry', check.ENTRIES)
def test_opcheck(compiled, entry):
    """Schema, autograd registration, fake tensors against real ones, AOT with dynamic shapes."""
    operator, arguments = operator_and_arguments(entry, compiled[1])
    torch.library.opcheck(operator.default, arguments)


@pytest.mark.parametrize('entry', check.ENTRIES)
def test_opcheck_of_the_backward(compiled, entry):
    operator, arguments = operator_and_arguments(entry, compiled[1])
    grad = torch.randn_like(operator(*arguments))
    backward = getattr(torch.ops.uvpt, f'{operator.__name__}_backward')
    arguments = [a.detach() if isinstance(a, torch.Tensor) else a for a in (grad, *arguments)]
    torch.library.opcheck(backward.default, tuple(arguments))


@pytest.mark.parametrize('entry', check.ENTRIES)
def test_second_derivatives_are_refused(compiled, entry):
    operator, arguments = operator_and_arguments(entry, compiled[1])
    (grad,) = torch.autograd.grad(operator(*arguments).sum(), arguments[0], create_graph=True)
    with pytest.raises(NotImplementedError, match='UVPT_OPS=reference'):
        torch.autograd.grad(grad.sum(), arguments[0])


@pytest.mark.slow
@pytest.mark.parametrize('dynamic', [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compiles_without_graph_breaks(backend, dynamic):
    torch.manual_seed(0)
    torch._dynamo.reset()
    layer = DeformableAttention(16, heads=4, levels=2).to(backend)
    compiled = torch.compile(layer, backend='aot_eager', fullgraph=True, dynamic=dynamic)
    for height in (3, 5, 6):
        query_sizes, value_sizes = [(height, 4)], [(4, height), (2, 2)]
        query = torch.randn(2, height * 4, 16, device=backend)
        value = torch.randn(2, height * 4 + 4, 16, device=backend)
        found, expected = (f(query, query_sizes, value, value_sizes) for f in (compiled, layer))
        torch.testing.assert_close(found, expected)
        gradients = [
            torch.autograd.grad(out.square().sum(), layer.sampling.weight)[0]
            for out in (found, expected)
        ]
        torch.testing.assert_close(*gradients)


def test_raw_operators_check_too(compiled):
    """Whoever calls torch.ops gets an error, not memory that is not his."""
    _, device = compiled
    value = torch.zeros(1, 6, 2, 4, device=device)
    raw = torch.zeros(1, 6, 2, 1, 4, 3, device=device)
    operator = torch.ops.uvpt.fused_deformable_attention
    for sizes, message in (([2, 4], 'need'), ([2, 3, 1], 'pairs'), ([-2, -3], 'negative')):
        with pytest.raises(RuntimeError, match=message):
            operator(value, sizes, raw, [2, 3])
    with pytest.raises(RuntimeError, match='raw has shape'):
        operator(value, [2, 3], raw[:, :5], [2, 3])
    with pytest.raises(RuntimeError, match='raw is'):
        operator(value, [2, 3], raw.double(), [2, 3])
    with pytest.raises(RuntimeError, match='weights'):
        torch.ops.uvpt.deformable_attention(value, [2, 3], raw[..., :2], raw[:, :2, ..., 2])


@pytest.mark.gpu
@pytest.mark.parametrize('entry', check.ENTRIES)
class TestOnGPU:
    def test_runs_in_a_cuda_graph(self, entry):
        given = check.arguments(entry, *SIZES).to('cuda', torch.float32)
        grad = torch.ones(1, 12, 8, device='cuda')

        def step():
            output = check.attend(given)
            return [output, *torch.autograd.grad(output, (given.value, *given.samples), grad)]

        stream = torch.cuda.Stream()
        with backends.forced('cuda'), torch.cuda.stream(stream):
            step()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=stream):
                found = step()
        given.value.data.mul_(2)  # a replay sees what the tensors hold by then
        graph.replay()
        torch.cuda.synchronize()
        with backends.forced('cuda'):
            for f, e in zip(found, step(), strict=True):
                torch.testing.assert_close(f, e)

    def test_does_not_wait_for_the_device(self, entry):
        given = check.arguments(entry, *SIZES).to('cuda', torch.float32)
        check.output_and_gradients(given, 'cuda')
        grad = torch.ones(1, 12, 8, device='cuda')
        torch.cuda.set_sync_debug_mode('error')
        try:
            with backends.forced('cuda'):
                output = check.attend(given)
                torch.autograd.grad(output, (given.value, *given.samples), grad)
        finally:
            torch.cuda.set_sync_debug_mode('default')

    def test_the_deterministic_switch(self, entry):
        sizes = [(8, 8)], [(64, 64)]  # many samples a pixel
        given = check.arguments(entry, *sizes, heads=8).to('cuda', torch.float32)
        torch.use_deterministic_algorithms(True)
        try:
            first, *others = (check.output_and_gradients(given, 'cuda') for _ in range(5))
        finally:
            torch.use_deterministic_algorithms(False)
        for other in others:
            assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
        for f, e in zip(first, check.output_and_gradients(given, 'cuda'), strict=True):
            torch.testing.assert_close(f, e, rtol=1e-4, atol=1e-4)
