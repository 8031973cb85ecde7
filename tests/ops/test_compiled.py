"""Compiled backends against the reference in float64: all types, widths and shapes."""

import pytest
import torch

from mmseg_uvpt.ops import backends, check

HALF = [torch.float16, torch.bfloat16]
PYRAMID = [(8, 10), (4, 5), (2, 3)]
EXTRACTOR, INJECTOR = (PYRAMID[1:2], PYRAMID), (PYRAMID, PYRAMID[1:2])  # values, queries
ENTRIES = pytest.mark.parametrize('entry', check.ENTRIES)


def assert_agrees(compiled, given, dtype=torch.float32):
    name, device = compiled
    found = check.errors_of(name, given, device, dtype)
    assert max(found) < check.TOLERANCE[dtype], found


@ENTRIES
@pytest.mark.parametrize('dtype', check.TOLERANCE, ids=str)
@pytest.mark.parametrize('width', [1, 2, 3, 4, 8, 10, 16, 24, 32, 40])
def test_types_and_head_widths(compiled, entry, dtype, width):
    for sizes in (EXTRACTOR, INJECTOR):
        assert_agrees(compiled, check.arguments(entry, *sizes, batch=2, width=width), dtype)


SHAPES = {
    'one pixel': ([(1, 1)], [(1, 1)]),
    'one row': ([(1, 9)], [(1, 40)]),
    'one column': ([(33, 1)], [(17, 1), (5, 1)]),
    'odd sizes': ([(7, 13), (5, 3), (1, 1)], [(9, 5)]),
    'an empty level': ([(4, 4), (0, 3), (2, 2)], [(3, 3)]),
    'an empty map of queries': ([(4, 4)], [(3, 3), (0, 2), (1, 2)]),
    'only empty levels': ([(0, 0), (0, 2)], [(2, 2)]),
    'most levels': ([(3, 2)] * backends.MAX_MAPS, [(2, 2)] * backends.MAX_MAPS),
    'more queries than a block': ([(9, 9)], [(33, 31)]),
}


@ENTRIES
@pytest.mark.parametrize('shape', SHAPES)
def test_shapes(compiled, entry, shape):
    assert_agrees(compiled, check.arguments(entry, *SHAPES[shape], width=4, heads=3))


@ENTRIES
@pytest.mark.parametrize('points', [1, 2, 3, 4, 5, 8])
def test_points(compiled, entry, points):
    assert_agrees(compiled, check.arguments(entry, *INJECTOR, points=points, width=8))


@ENTRIES
@pytest.mark.parametrize(('batch', 'heads'), [(1, 1), (3, 16), (7, 5)])
def test_batches_and_heads(compiled, entry, batch, heads):
    assert_agrees(compiled, check.arguments(entry, *EXTRACTOR, batch=batch, heads=heads))


@ENTRIES
def test_samples_far_outside(compiled, entry):
    assert_agrees(compiled, check.arguments(entry, *INJECTOR, spread=40))


@ENTRIES
def test_nothing_to_do(compiled, entry):
    name, device = compiled
    for sizes, batch in ((([(2, 2)], [(0, 5)]), 1), (EXTRACTOR, 0)):
        given = check.arguments(entry, *sizes, batch=batch).to(device, torch.float32)
        output, *gradients = check.output_and_gradients(given, name)
        assert output.numel() == 0
        assert all(float(g.abs().sum()) == 0 for g in gradients)


@ENTRIES
def test_more_levels_than_compiled_go_through_the_reference(entry, backend):
    given = check.arguments(entry, [(2, 2)] * 9, [(2, 2)], width=2)
    if backends.serving(torch.device(backend)) == 'reference':
        pytest.skip('it has no limit')
    with backends.forced(None):
        expected = check.output_and_gradients(given.to(backend, torch.float32), 'reference')
        found = check.output_and_gradients(given.to(backend, torch.float32), None)
    for f, e in zip(found, expected, strict=True):
        assert torch.equal(f, e)


@ENTRIES
def test_arguments_need_not_be_contiguous(compiled, entry):
    name, device = compiled
    given = check.arguments(entry, *INJECTOR, batch=2, width=4).to(device, torch.float32)
    scattered = given._replace(
        value=given.value.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_(),
        samples=tuple(
            torch.stack([s.detach(), s.detach()], -1)[..., 0].requires_grad_()
            for s in given.samples
        ),
    )
    assert not any(t.is_contiguous() for t in (scattered.value, *scattered.samples))
    for f, e in zip(
        check.output_and_gradients(scattered, name),
        check.output_and_gradients(given, name),
        strict=True,
    ):
        assert torch.equal(f, e)


def test_locations_may_be_finer_than_values(compiled):
    """As the documentation advises: locations in float32 beside values in half precision."""
    name, device = compiled
    given = check.arguments('classic', *INJECTOR, width=8).to(device, torch.float32)
    value = given.value.detach().bfloat16().requires_grad_()
    weights = given.samples[1].detach().bfloat16().requires_grad_()
    given = given._replace(value=value, samples=(given.samples[0], weights))
    found = check.output_and_gradients(given, name)
    assert [t.dtype for t in found] == [torch.bfloat16] * 2 + [torch.float32, torch.bfloat16]
    assert max(check.errors(given, found)) < check.TOLERANCE[torch.bfloat16]


@ENTRIES
def test_a_gradient_need_not_be_contiguous(compiled, entry):
    name, device = compiled
    given = check.arguments(entry, *EXTRACTOR).to(device, torch.float32)
    with backends.forced(name):
        output = check.attend(given)
        found = torch.autograd.grad(output.sum(), (given.value, *given.samples))  # expanded
        output = check.attend(given)
        ones = torch.ones_like(output)
        expected = torch.autograd.grad(output, (given.value, *given.samples), ones)
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, e)


@ENTRIES
def test_threads_do_not_change_a_bit(entry):
    if backends.missing['cpp']:
        pytest.skip(f'cpp is not built: {backends.missing["cpp"]}')
    given = check.arguments(entry, *EXTRACTOR, batch=1, heads=3, width=8)
    given = given.to('cpu', torch.float32)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2, 16):  # 16 are more than there are heads
            torch.set_num_threads(number)
            found.append(check.output_and_gradients(given, 'cpp'))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))
