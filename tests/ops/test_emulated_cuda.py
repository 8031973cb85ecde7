"""The CUDA kernels' arithmetic and indices, on machines without a GPU.

Their source is compiled for the CPU, against the stand-in for CUDA in the folder emulation. That
shows the results of a block's threads and what they wait for; what a GPU does of its own (its
atomics, its launches, its speed) is left to ``make gpu-check``.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import pytest
import torch

from mmseg_uvpt.ops import backends, build, check, operators
from mmseg_uvpt.ops.tokens import flat

pytestmark = pytest.mark.slow  # a minute of compiling, once for each state of the sources

EMULATION = Path(__file__).with_name('emulation')
NAMESPACE = 'uvpt_emulated'  # of csrc/cuda.cpp
PYRAMID = [(8, 10), (4, 5), (2, 3)]
SIZES = {
    'extractor': (PYRAMID[1:2], PYRAMID),  # values, queries
    'injector': (PYRAMID, PYRAMID[1:2]),
    'two levels': (PYRAMID[:2], PYRAMID[2:]),
}


@pytest.fixture(scope='session')
def emulated():
    """Return the operators that the CUDA sources register when they are compiled for the CPU."""
    try:
        build.compiler()
    except build.BuildError as error:
        pytest.skip(str(error))
    library = _compile()
    for name, schema in operators.SCHEMAS.items():
        torch.library.define(f'{NAMESPACE}::{name}', schema)
    torch.ops.load_library(str(library))
    return getattr(torch.ops, NAMESPACE)


def _compile() -> Path:
    home = build.writable(build.folders())  # named by the sources: built once for each state
    headers = b''.join(path.read_bytes() for path in sorted(EMULATION.iterdir()))
    library = home / f'emulated-{hashlib.sha256(headers).hexdigest()[:16]}.so'
    if library.is_file():
        return library
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        flags = [*build.compiler(), '-O1', '-fPIC', f'-I{EMULATION}', *build.torch_flags()]
        flags += ['-DUVPT_EMULATED', '-Wno-unknown-pragmas']
        objects = [f'{scratch}/{name}.o' for name in ('cuda', 'cuda_kernels')]
        build.run([*flags, '-c', str(build.SOURCES / 'cuda.cpp'), '-o', objects[0]])
        kernels = str(build.SOURCES / 'cuda_kernels.cu')
        # a GPU refuses a vector at a place that is no multiple of its size: here that is a crash
        aligned = ['-fsanitize=alignment', '-fsanitize-undefined-trap-on-error']
        build.run([*flags, *aligned, '-x', 'c++', '-c', kernels, '-o', objects[1]])
        whole = f'{scratch}/whole.so'
        build.run([*build.compiler(), '-shared', *objects, '-o', whole, *build.link_flags()])
        os.replace(whole, library)
    return library


def output_and_gradients(operators, given: check.Arguments) -> list[torch.Tensor]:
    value, *samples = (t.detach() for t in (given.value, *given.samples))
    if len(samples) == 1:
        name = 'fused_deformable_attention'
        arguments = (value, flat(given.value_sizes), *samples, flat(given.query_sizes))
    else:
        name = 'deformable_attention'
        arguments = (value, flat(given.value_sizes), *samples)
    output = getattr(operators, name)(*arguments)
    return [output, *getattr(operators, f'{name}_backward')(check.gradient_of(output), *arguments)]


def assert_agrees(operators, given: check.Arguments, dtype=torch.float32) -> None:
    rounded = given.to('cpu', dtype)
    found = check.errors(rounded, output_and_gradients(operators, rounded))
    assert max(found) < check.TOLERANCE[dtype], found


@pytest.mark.parametrize('entry', check.ENTRIES)
@pytest.mark.parametrize('dtype', check.TOLERANCE, ids=str)
@pytest.mark.parametrize('width', [1, 2, 3, 4, 8, 10, 16, 32, 40])
def test_types_and_head_widths(emulated, entry, dtype, width):
    for sizes in (SIZES['extractor'], SIZES['injector']):
        assert_agrees(emulated, check.arguments(entry, *sizes, width=width), dtype)


@pytest.mark.parametrize('entry', check.ENTRIES)
@pytest.mark.parametrize(
    ('sizes', 'more'),
    [
        (SIZES['two levels'], {'points': 3, 'heads': 5, 'batch': 3}),
        (SIZES['injector'], {'heads': 16, 'batch': 2}),
        (SIZES['injector'], {'heads': 40, 'width': 2}),  # more than a block's threads
        (SIZES['extractor'], {'width': backends.CUDA_MAX_CHANNELS}),
        (([(3, 2)] * 8, [(2, 2)] * 8), {'points': backends.CUDA_MAX_SAMPLES // 8}),
        (SIZES['injector'], {'spread': 40}),
        (([(7, 13), (5, 3), (1, 1)], [(9, 17)]), {}),
        (([(1, 1)], [(1, 70), (0, 2), (33, 1)]), {}),
        (([(0, 0), (0, 2)], [(2, 2)]), {}),
        (([(4, 4), (0, 3), (2, 2)], [(3, 3)]), {}),
    ],
)
def test_shapes(emulated, entry, sizes, more):
    assert_agrees(emulated, check.arguments(entry, *sizes, **more))


@pytest.mark.parametrize('entry', check.ENTRIES)
@pytest.mark.parametrize('dtype', check.TOLERANCE, ids=str)
@pytest.mark.parametrize('width', [4, 8])
def test_tensors_may_begin_anywhere(emulated, entry, dtype, width):
    for sizes in (SIZES['extractor'], SIZES['injector']):
        given = check.arguments(entry, *sizes, width=width, heads=3).to('cpu', dtype)
        moved = given._replace(
            value=begun_later(given.value), samples=tuple(map(begun_later, given.samples))
        )
        assert (
            max(check.errors(given, output_and_gradients(emulated, moved))) < check.TOLERANCE[dtype]
        )


def begun_later(x: torch.Tensor) -> torch.Tensor:
    """Return a copy that begins one number after the start of its memory."""
    memory = x.new_empty(x.numel() + 1)
    return memory[1:].view(x.shape).copy_(x.detach())


@pytest.mark.parametrize('entry', check.ENTRIES)
@pytest.mark.parametrize('dtype', check.TOLERANCE, ids=str)
def test_deterministic_gradients_are_right_too(emulated, entry, dtype):
    """They are sums of integers; small and large gradients alike keep their digits."""
    try:
        torch.use_deterministic_algorithms(True)
        for sizes in SIZES.values():
            assert_agrees(emulated, check.arguments(entry, *sizes, batch=2), dtype)
        kinds = [(torch.float32, size) for size in (0.0, 1e-30, 1e30)] + [(torch.float64, 1e-300)]
        for kind, size in kinds:
            given = check.arguments(entry, *SIZES['injector']).to('cpu', kind)
            value, *samples = (t.detach() for t in (given.value, *given.samples))
            more = [] if len(samples) == 2 else [flat(given.query_sizes)]
            name = 'deformable_attention' if len(samples) == 2 else 'fused_deformable_attention'
            grad = torch.full((1, samples[0].shape[1], 8), size, dtype=kind)
            arguments = (grad, value, flat(given.value_sizes), *samples, *more)
            found = getattr(emulated, f'{name}_backward')(*arguments)[0]
            torch.use_deterministic_algorithms(False)
            expected = getattr(emulated, f'{name}_backward')(*arguments)[0]
            torch.use_deterministic_algorithms(True)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7 * size)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize('entry', check.ENTRIES)
def test_nothing_to_do(emulated, entry):
    for sizes, batch in ((([(2, 2)], [(0, 5)]), 1), (SIZES['extractor'], 0)):
        given = check.arguments(entry, *sizes, batch=batch).to('cpu', torch.float32)
        output, *gradients = output_and_gradients(emulated, given)
        assert output.numel() == 0
        assert all(float(g.abs().sum()) == 0 for g in gradients)


def test_a_nan_stays_one(emulated):
    given = check.arguments('fused', *SIZES['injector']).to('cpu', torch.float32)
    given.samples[0].data[0, 3, 1, 0, 2] = float('nan')
    output = output_and_gradients(emulated, given)[0].view(20, 2, 4)
    assert output[3, 1].isnan().all()
    output[3, 1] = 0
    assert not output.isnan().any()


def test_more_than_the_kernels_take_is_refused(emulated):
    for more in ({'width': 129}, {'points': 33}):
        given = check.arguments('fused', *SIZES['extractor'], **more).to('cpu', torch.float32)
        with pytest.raises(RuntimeError, match='of the CUDA kernels'):
            output_and_gradients(emulated, given)
