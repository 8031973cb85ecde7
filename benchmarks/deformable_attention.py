"""Time the eight deformable attentions of an adapted backbone, each implementation in one run.

A call is an extractor's (the prompt pyramid attends to the stage's map) or an injector's (the
reverse) of one of four stages, batch 1. "fused" takes raw offsets and logits, as the adapters do;
softmax, reference points and pixel coordinates are part of what is timed. "op" takes ready sampling
locations and weights, as public kernels do, so what those need before is not charged to them.

On a CPU the implementations take turns, and the median counts. On a GPU a CUDA graph of each is
replayed, so only the device's time counts. The floor is the least time in which the tensors of a
call can pass through memory once: at 3.0 TB/s on a GPU, at the speed of a
large copy, measured in the same run, on a CPU.
"""

import importlib
import statistics
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from measuring import (
    GPU_BYTES_PER_SECOND,
    chosen_device,
    copy_bytes_per_second,
    made_how,
    parser_of,
    seconds_on_cpu,
    tell,
)
from torch import Tensor

HEADS, POINTS = 16, 4
WIDTHS = {'swin-b': (4, 8, 16, 32), 'mit-b5': (2, 4, 10, 16)}  # of a head, stage by stage


class Case(NamedTuple):
    """One call: value and query maps as (height, width), and the width of a head."""

    name: str
    value_sizes: list
    query_sizes: list
    width: int


class Way(NamedTuple):
    """One implementation: makes, from a case's tensors, the functions that are timed."""

    entry: str  # 'fused' or 'op'
    call: Callable


def cases(backbone: str, side: int) -> list[Case]:
    """Return the eight calls for an image of ``side`` x ``side``."""
    found = []
    for stage, width in enumerate(WIDTHS[backbone]):
        h = side // 4 >> stage
        pyramid = [(2 * h, 2 * h), (h, h), (h // 2, h // 2)]
        found.append(Case(f'stage {stage + 1} extractor', [(h, h)], pyramid, width))
        found.append(Case(f'stage {stage + 1} injector', pyramid, [(h, h)], width))
    return found


def tensors(case: Case, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return random tensors of a call, with offsets as they are at the start of a training.

    Half a pixel of noise lies on top of them: what is sampled differs a little between queries.
    """
    from mmseg_uvpt.ops import DeformableAttention
    from mmseg_uvpt.ops.reference import pixel_centres
    from mmseg_uvpt.ops.tokens import pixels

    generator = torch.Generator().manual_seed(0)
    levels = len(case.value_sizes)
    layer = DeformableAttention(2 * HEADS * case.width, HEADS, levels, POINTS)
    start = layer.sampling.bias.detach().view(1, 1, HEADS, levels, POINTS, 3)
    shape = (1, pixels(case.query_sizes), HEADS, levels, POINTS, 3)
    raw = start + 0.5 * torch.randn(shape, generator=generator)
    value = torch.randn(1, pixels(case.value_sizes), HEADS, case.width, generator=generator)
    centres = pixel_centres(case.query_sizes, raw).view(1, -1, 1, 1, 1, 2)
    scale = torch.tensor([(w, h) for h, w in case.value_sizes]).view(1, 1, 1, -1, 1, 2)
    return {
        'value': value.to(device, dtype),
        'raw': raw.to(device, dtype),
        'locations': (centres + raw[..., :2] / scale).to(device),
        'weights': raw[..., 2].flatten(3).softmax(-1).view(shape[:-1]).to(device),
        'grad': torch.randn(1, shape[1], HEADS * case.width, generator=generator).to(device, dtype),
    }


def ours(backend: str, entry: str) -> Way:
    """Return one of our backends, by either entry."""
    from mmseg_uvpt.ops import backends, deformable_attention, fused_deformable_attention

    def fused(case, t):
        with backends.forced(backend):
            return fused_deformable_attention(
                t['value'], case.value_sizes, t['raw'], case.query_sizes
            )

    def op(case, t):
        with backends.forced(backend):
            return deformable_attention(
                t['value'], case.value_sizes, t['locations'], t['weights'].to(t['value'].dtype)
            )

    return Way(entry, {'fused': fused, 'op': op}[entry])


def _public_arguments(case: Case, t: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the arguments that kernels derived from Deformable-DETR's take."""
    if 'shapes' not in t:
        device = t['value'].device
        shapes = torch.tensor(case.value_sizes, device=device)
        t['shapes'] = shapes
        t['starts'] = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    dtype = t['value'].dtype
    return t['value'], t['shapes'], t['starts'], t['locations'].to(dtype), t['weights'].to(dtype)


def _mmcv() -> Callable:
    module = importlib.import_module('mmcv.ops.multi_scale_deform_attn')
    function = module.MultiScaleDeformableAttnFunction
    return lambda case, t: function.apply(*_public_arguments(case, t), 64)


def _deformable_detr() -> Callable:
    extension = importlib.import_module('MultiScaleDeformableAttention')

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *arguments):
            ctx.save_for_backward(*arguments)
            return extension.ms_deform_attn_forward(*arguments, 64)

        @staticmethod
        def backward(ctx, grad):
            grads = extension.ms_deform_attn_backward(*ctx.saved_tensors, grad.contiguous(), 64)
            return grads[0], None, None, *grads[1:]

    return lambda case, t: Function.apply(*_public_arguments(case, t))


def _msda_triton() -> Callable:
    function = importlib.import_module('msda_triton').triton_multiscale_deformable_attention

    def call(case, t):
        value, shapes, _, locations, weights = _public_arguments(case, t)
        return function(value, shapes, locations, weights)

    return call


PUBLIC = {
    'mmcv.ops': _mmcv,
    'Deformable-DETR': _deformable_detr,
    'msda-triton (rziga)': _msda_triton,
}


def ways(device: str) -> tuple[dict[str, Way], dict[str, str]]:
    """Return the implementations that are here, and why the others are not."""
    from mmseg_uvpt.ops import backends

    compiled = {'cpu': 'cpp', 'cuda': 'cuda'}[device]
    names = ['reference'] + ([] if backends.missing[compiled] else [compiled])
    found = {f'{name} {entry}': ours(name, entry) for entry in ('fused', 'op') for name in names}
    absent = {compiled: backends.missing[compiled]} if backends.missing[compiled] else {}
    for name, load in PUBLIC.items():
        try:
            if device == 'cpu':
                raise ImportError('it has no code for a CPU')
            found[name] = Way('op', load())
        except (ImportError, AttributeError) as error:
            absent[name] = str(error)
    return found, absent


def leaves(way: Way, t: dict[str, Tensor]) -> list[Tensor]:
    """Return the tensors whose gradients are timed."""
    names = ('value', 'raw') if way.entry == 'fused' else ('value', 'locations', 'weights')
    return [t[name] for name in names]


def forward(way: Way, case: Case, t: dict[str, Tensor]) -> None:
    """Run a call without gradients."""
    with torch.no_grad():
        way.call(case, t)


def forward_backward(way: Way, case: Case, t: dict[str, Tensor]) -> None:
    """Run a call and its gradients."""
    inputs = leaves(way, t)
    for tensor in t.values():
        if tensor.is_floating_point():
            tensor.requires_grad_(False)
    for tensor in inputs:
        tensor.requires_grad_()
    torch.autograd.grad(way.call(case, t), inputs, t['grad'])


def seconds_on_gpu(runs: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Return the median time of a run among those that one replay of a CUDA graph holds."""
    found = {}
    for name, run in runs.items():
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                run()
        torch.cuda.current_stream().wait_stream(side)
        graph, repeats = torch.cuda.CUDAGraph(), 10
        with torch.cuda.graph(graph):
            for _ in range(repeats):
                run()
        times = []
        for _ in range(rounds + 1):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1000 / repeats)
        found[name] = statistics.median(times[1:])
        del graph
    return found


def floor_bytes(case: Case, bytes_each: int) -> tuple[int, int]:
    """Return how many bytes forward and backward must move at least."""
    queries = sum(h * w for h, w in case.query_sizes)
    pixels = sum(h * w for h, w in case.value_sizes)
    value = pixels * HEADS * case.width * bytes_each
    samples = queries * HEADS * len(case.value_sizes) * POINTS * 3 * bytes_each
    output = queries * HEADS * case.width * bytes_each
    in_float32 = pixels * HEADS * case.width * 4
    return value + samples + output, value + 2 * samples + output + 2 * in_float32


def refusal(way: Way, device: str, dtype: torch.dtype) -> str | None:
    """Return why a public kernel does not take a type (many lack bfloat16), or None."""
    case = Case('small', [(4, 4)], [(4, 4)], 8)
    try:
        forward_backward(way, case, tensors(case, device, dtype))
    except (RuntimeError, NotImplementedError) as error:
        return str(error).splitlines()[0]
    return None


def measure(backbone: str, side: int, device: str, dtype: torch.dtype, rounds: int) -> list[dict]:
    """Return a row for each call and implementation: seconds forward, and with backward."""
    found = ways(device)[0]
    refusals = {name: refusal(found[name], device, dtype) for name in found if name in PUBLIC}
    for name, reason in refusals.items():
        if reason:
            print(f'\n{name} does not take {dtype}: {reason}')
            del found[name]
    timed = seconds_on_cpu if device == 'cpu' else seconds_on_gpu
    bandwidth = copy_bytes_per_second() if device == 'cpu' else GPU_BYTES_PER_SECOND
    rows = []
    for case in cases(backbone, side):
        t = tensors(case, device, dtype)
        runs = {name: partial(forward, way, case, t) for name, way in found.items()}
        both = {name: partial(forward_backward, way, case, t) for name, way in found.items()}
        only_forward, with_backward = timed(runs, rounds), timed(both, rounds)
        bytes_forward, bytes_backward = floor_bytes(case, dtype.itemsize)
        for name in found:
            rows.append(
                {
                    'backbone': backbone,
                    'side': side,
                    'dtype': str(dtype).removeprefix('torch.'),
                    'call': case.name,
                    'implementation': name,
                    'forward_s': only_forward[name],
                    'forward_backward_s': with_backward[name],
                    'floor_forward_s': bytes_forward / bandwidth,
                    'floor_forward_backward_s': (bytes_forward + bytes_backward) / bandwidth,
                }
            )
    return rows


def table(rows: list[dict], device: str) -> str:
    """Return rows of one backbone, side and type as a Markdown table, sums last."""
    unit, scale = ('ms', 1e3) if device == 'cpu' else ('us', 1e6)
    names = list(dict.fromkeys(row['implementation'] for row in rows))
    calls = list(dict.fromkeys(row['call'] for row in rows))
    head = rows[0]
    lines = [
        f'{head["backbone"]}, {head["side"]} x {head["side"]}, {head["dtype"]}: {unit} forward / '
        'forward + backward (times as fast as the reference by the same entry)',
        '',
        f'| call | floor | {" | ".join(names)} |',
        '|---' * (len(names) + 2) + '|',
    ]
    for call in [*calls, 'sum']:
        of_call = [row for row in rows if call in ('sum', row['call'])]
        cells = []
        for name in names:
            both = [row for row in of_call if row['implementation'] == name]
            entry = 'fused' if name.endswith('fused') else 'op'
            base = [row for row in of_call if row['implementation'] == f'reference {entry}']
            cell = []
            for key in ('forward_s', 'forward_backward_s'):
                seconds = sum(row[key] for row in both)
                ratio = sum(row[key] for row in base) / seconds
                of_reference = '' if name.startswith('reference') else f' ({ratio:.1f}x)'
                cell.append(f'{scale * seconds:.4g}{of_reference}')
            cells.append(' / '.join(cell))
        one = [row for row in of_call if row['implementation'] == names[0]]
        floors = (
            sum(row[f'floor_{key}_s'] for row in one) for key in ('forward', 'forward_backward')
        )
        floor = ' / '.join(f'{scale * seconds:.3g}' for seconds in floors)
        lines.append(f'| {call} | {floor} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = parser_of(__doc__, 'deformable_attention.py --backbone swin-b --side 512')
    parser.add_argument('--backbone', choices=WIDTHS, nargs='+', default=list(WIDTHS))
    parser.add_argument(
        '--side', type=int, nargs='+', default=[256, 512, 1024], help='of the image'
    )
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='[a GPU if there is one]')
    parser.add_argument(
        '--dtype',
        choices=['float32', 'bfloat16', 'float16'],
        nargs='+',
        help='[float32; on a GPU bfloat16 as well]',
    )
    parser.add_argument('--rounds', type=int, default=5, help='the median counts [%(default)s]')
    args = parser.parse_args()
    device = chosen_device(parser, args.device)
    dtypes = args.dtype or (['float32', 'bfloat16'] if device == 'cuda' else ['float32'])

    how = made_how(device, ways(device)[1])
    tell(how)
    rows = []
    for backbone in args.backbone:
        for side in args.side:
            for dtype in dtypes:
                found = measure(backbone, side, device, getattr(torch, dtype), args.rounds)
                rows += found
                print(f'\n{table(found, device)}', flush=True)
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, 'rows': rows})


if __name__ == '__main__':
    main()
