"""Time a whole adaptation step and count its memory, each form against the plain one, in one run.

The step is that of the recipes: three views of an image of side x side, batch 1, losses, backward,
AdamW. The plain form stands in this file alone: mmseg's own window attention, which pads, rolls and
makes a mask of every window; scores, bias and softmax as tensors; torch's own layers in the frozen
backbone; branches that are computed and then dropped; deformable attention in plain PyTorch; glibc
as it is, which returns the memory of each large tensor.

Time: the plain form comes first, since what the scripts ask of glibc cannot be taken back; then the
others take turns. All draw the same random numbers (on a CPU), and the median counts. The
processor's seconds, which on a CPU are the sum over threads, say more where others use the machine
too: take one thread then (OMP_NUM_THREADS=1). Losses and gradients are compared with the plain
ones; those of the plain form under autocast show what bfloat16 itself changes. The floor is the
time of the plain step's matrix products and convolutions at the speed of a large product, measured
in the same run: in float32, and on a GPU in bfloat16 for the forms that compute in it. (Of
convolutions in float32 a GPU makes some in TF32, as torch does by itself; large products it does
not.) On a GPU each part is waited for, so that where the processor is slower than the GPU a part's
time is the processor's; ``--profile`` says for how much of a step the GPU is busy.

Memory: all tensors that are alive at a time, beside parameters, buffers, gradients and AdamW's
state, and of them what autograd saved by the end of the forward pass. Nothing is computed for it:
a step runs on tensors without data, so that the figures are exact, need no time and no memory, and
leave out what an allocator or a library reserves beyond. Nothing is dropped there. On a GPU the
peak that torch allocates there in a warm step is measured as well, of the forms that are timed.
"""

import argparse
import contextlib
import copy
import gc
import json
import tempfile
import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
import torch.nn.functional as F
from measuring import (
    made_how,
    milliseconds,
    operations,
    operations_per_second,
    turns,
    waited,
)
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, supported_activities
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter
from whole_model import make_model

MIB = 2**20
CLOCKS = {'seconds': time.perf_counter, 'processor_seconds': time.process_time}
PARTS = ('generator', 'adapters', 'backbone', 'head', 'losses', 'backward', 'optimiser')


class Form(NamedTuple):
    """One way to make a step: how the model is prepared, and what the step runs in."""

    plain: bool = False
    amp: bool = False
    low_memory: bool = False
    compiled: bool = False


FORMS = {
    'plain': Form(plain=True),
    'plain, bfloat16': Form(plain=True, amp=True),
    'float32': Form(),
    'bfloat16': Form(amp=True),
    'float32, low memory': Form(low_memory=True),
    'bfloat16, low memory': Form(amp=True, low_memory=True),
    'float32, compiled': Form(compiled=True),
    'bfloat16, compiled': Form(amp=True, compiled=True),
}


def plain_attention(query, key, value, attn_mask=None, dropout_p=0.0, scale=None) -> Tensor:
    """Do what `scaled_dot_product_attention` does, step by step."""
    scores = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ value


@contextlib.contextmanager
def plain_functions() -> Iterator[None]:
    """Put plain functions in the place of ours; mmseg's blocks find their own."""
    from mmseg_uvpt.models.backbones import mit, residual, swin
    from mmseg_uvpt.models.decode_heads import daformer
    from mmseg_uvpt.models.prompts import adapter, generator
    from mmseg_uvpt.ops import backends

    def always(tokens, rate, frozen, branch, *args):
        return residual.add_branch(tokens, rate, False, branch, *args)

    def once(run: Callable, *args):
        return run(*args)

    with (
        mock.patch.object(swin, '_run', lambda block, tokens, size, frozen: block(tokens, size)),
        mock.patch.object(mit, 'add_branch', always),
        mock.patch.object(F, 'scaled_dot_product_attention', plain_attention),
        mock.patch.object(adapter, 'checkpointed_in_half', once),
        mock.patch.object(daformer, 'checkpointed_in_half', once),
        mock.patch.object(generator, 'checkpointed_in_half', once),
        backends.forced('reference'),
    ):
        yield


def prepared(model: nn.Module, form: Form) -> nn.Module:
    """Return a copy of a model in a form."""
    from mmseg.models.backbones.swin import WindowMSA

    from mmseg_uvpt.acceleration import frozen
    from mmseg_uvpt.models.backbones.swin import WindowAttention

    model = copy.deepcopy(model)
    model.low_memory = form.low_memory
    if form.plain:
        theirs = {WindowAttention: WindowMSA, **{v: k for k, v in frozen._FROZEN.items()}}
        for layer in model.modules():
            layer.__class__ = theirs.get(type(layer), type(layer))
    return model


def around(form: Form, device: str) -> contextlib.ExitStack:
    """Return the context that a form's step runs in."""
    stack = contextlib.ExitStack()
    if form.plain:
        stack.enter_context(plain_functions())
    if form.amp:
        stack.enter_context(torch.autocast(device, torch.bfloat16))
    return stack


def batch(side: int, device: str) -> tuple[Tensor, list]:
    """Return an image and its label, blocks of 16 x 16 of one class."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    torch.manual_seed(0)
    labels = torch.randint(0, 19, (1, side // 16, side // 16), device=device)
    labels = labels.repeat_interleave(16, 1).repeat_interleave(16, 2)
    image = torch.randn(1, 3, side, side, device=device)
    return image, [SegDataSample(gt_sem_seg=PixelData(data=labels))]


class Step:
    """A training step in one form, with its own model."""

    def __init__(self, model: nn.Module, form: Form, side: int, device: str):
        self.form, self.device = form, device
        self.model = prepared(model, form).to(device).train()
        if form.compiled:
            from mmseg_uvpt.acceleration.compile import compile_views

            compile_views(self.model, limit=None)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=not form.plain)
        self.data = batch(side, device)
        self.made = 0

    def loss(self, seed: int = 0) -> Tensor:
        """Run the forward pass and return the sum of the losses."""
        torch.manual_seed(seed)
        with around(self.form, self.device):
            return self.model.parse_losses(self.model.loss(*self.data))[0]

    def __call__(self) -> None:
        """Make the whole step; each one has random numbers of its own, alike in all forms."""
        self.made += 1
        self.optimizer.zero_grad()
        self.loss(self.made).backward()
        self.optimizer.step()
        if self.device == 'cuda':
            torch.cuda.synchronize()

    def gradients(self) -> tuple[float, Tensor]:
        """Return loss and joint gradient."""
        self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        grads = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        return float(loss.detach()), torch.cat(grads)


def breakdown(step: Step) -> dict[str, float]:
    """Return the seconds of a step's parts; its forward parts are those of the three views."""
    found = defaultdict(float)
    model = step.model

    def timed(name: str, run: Callable, *args, **kwargs):
        start = time.perf_counter()
        result = waited(run, step.device)(*args, **kwargs)
        found[name] += time.perf_counter() - start
        return result

    backbone = model.backbone
    with contextlib.ExitStack() as stack:
        wrapped = [('generator', backbone.generator), ('head', model.decode_head)]
        wrapped += [('adapters', adapter) for adapter in backbone.adapters]
        for name, module in wrapped:
            run = partial(timed, name, module.forward)
            stack.enter_context(mock.patch.object(module, 'forward', run))
        for method in ('enter', 'blocks', 'output'):
            run = partial(timed, 'backbone', getattr(backbone.staged, method))
            stack.enter_context(mock.patch.object(backbone.staged, method, run))
        step.optimizer.zero_grad()
        loss = timed('forward', step.loss)
    found['losses'] = found.pop('forward') - sum(found[p] for p in PARTS[:4])
    timed('backward', loss.backward)
    timed('optimiser', step.optimizer.step)
    return dict(found)


def device_work(step: Step) -> dict:
    """Return what a GPU does in a warm step.

    Returns:
        dict: seconds of its kernels, copies and fills added up, and in which any of them ran; how
        many there were; the names that took longest, each with its seconds and calls.
    """
    step()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'trace.json'
        profiler.export_chrome_trace(str(file))
        return summed(json.loads(file.read_text())['traceEvents'])


def summed(events: list[dict]) -> dict:
    """Return what `device_work` does, from the events of a trace, which are in microseconds."""
    ran = [e for e in events if e.get('cat') in ('kernel', 'gpu_memcpy', 'gpu_memset')]
    names, calls = defaultdict(float), Counter(e['name'] for e in ran)
    busy = end = 0.0
    for e in sorted(ran, key=lambda e: e['ts']):
        names[e['name']] += e['dur']
        busy += max(0.0, e['ts'] + e['dur'] - max(end, e['ts']))  # streams may overlap
        end = max(end, e['ts'] + e['dur'])
    longest = sorted(names, key=names.get, reverse=True)[:12]
    return {
        'kernel_seconds': sum(names.values()) / 1e6,
        'busy_seconds': busy / 1e6,
        'kernels': len(ran),
        'longest': [
            {'name': name, 'seconds': names[name] / 1e6, 'calls': calls[name]} for name in longest
        ],
    }


class AliveTensors(TorchDispatchMode):
    """Adds up the memory of the tensors that operators made and that are still alive."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, weakref.ref] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run an operator and add what it made."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self.alive:
                    self.alive[key] = weakref.ref(storage, partial(self._gone, key, size))
                    self.now += size
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, key: int, size: int, _: weakref.ref) -> None:
        del self.alive[key]
        self.now -= size


@contextlib.contextmanager
def windows_with_numbers() -> Iterator[None]:
    """Let the places of windows have numbers where other tensors are without data.

    How many of them are padding depends on the numbers; a step makes them once and keeps them.
    """
    from mmseg_uvpt.models.backbones import swin

    windows_of = swin.windows_of

    def with_numbers(*args) -> list:
        with _disable_current_modes():
            return windows_of(*args)

    with mock.patch.object(swin, 'windows_of', with_numbers):
        yield


def memory(model: nn.Module, form: Form, side: int) -> dict[str, float]:
    """Return the MiB of a step's tensors and its operations, counted on tensors without data."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    model = prepared(model, form._replace(compiled=False)).train()
    for part in model.modules():
        if hasattr(part, 'drop_prob'):
            part.drop_prob = 0.0
        if isinstance(getattr(part, 'drop_path', None), float):
            part.drop_path = 0.0
    fake = FakeTensorMode(allow_non_fake_inputs=True)
    for part in model.modules():
        for name, p in part._parameters.items():
            if p is not None:
                bare = fake.from_tensor(p.detach())
                part._parameters[name] = nn.Parameter(bare, requires_grad=p.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = fake.from_tensor(buffer)
    own = [*model.parameters(), *model.buffers()]
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    fixed = sum(t.nbytes for t in own) + 3 * trained  # gradients and two moments
    apart = {t.untyped_storage()._cdata for t in own}
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in apart:
            saved[storage._cdata] = storage
        return tensor

    def forward() -> Tensor:
        with around(form, 'cpu'), windows_with_numbers():
            return model.parse_losses(model.loss(*batch(side, 'cpu')))[0]

    with fake, AliveTensors() as alive:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = forward()
        size = sum(storage.nbytes() for storage in saved.values())
        saved.clear()
        loss.backward()
        del loss
    with fake:
        arithmetic = operations(lambda: forward().backward())
    # the gradients are among what is alive at the end, and in `fixed`
    return {
        'fixed': fixed / MIB,
        'saved': size / MIB,
        'peak': (fixed - trained + alive.peak) / MIB,
        'tflop': arithmetic / 1e12,
    }


def gpu_peak(model: nn.Module, form: Form, side: int) -> float:
    """Return the MiB that a warm step takes on the GPU at most, as torch's allocator counts.

    What lies there before the step's model does is not counted. Of graphs it is the peak while they
    are recorded, since what they need later the allocator counts as given to them.
    """
    gc.collect()  # models before this one, which hooks and graphs may hold in cycles
    torch._C._cuda_clearCublasWorkspaces()  # one that stays would count in the first form alone
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step = Step(model, form, side, 'cuda')
    step()
    if not form.compiled:  # a graph's memory is its own from its recording on
        torch.cuda.reset_peak_memory_stats()
    step()
    return (torch.cuda.max_memory_allocated() - before) / MIB


def time_forms(model: nn.Module, names: list[str], side: int, device: str, args) -> dict:
    """Return median seconds, breakdown and floor of each form; compare those of float32."""
    from mmseg_uvpt.acceleration.main_memory import keep_main_memory

    steps = {name: Step(model, FORMS[name], side, device) for name in names}
    plain = {'plain': steps.pop('plain')}
    found = {name: {} for name in names}
    found['plain'] |= {'loss_error': 0.0, 'gradient_error': 0.0}
    loss, gradient = plain['plain'].gradients()
    arithmetic = operations(plain['plain'].gradients)
    floors = {
        kind: arithmetic / operations_per_second(device, getattr(torch, kind))
        for kind in (('float32', 'bfloat16') if device == 'cuda' else ('float32',))
    }

    def time_all(some: dict[str, Step]) -> None:
        for name, seconds in turns(some, args.rounds, CLOCKS).items():
            found[name].update(seconds)
        for name, step in some.items():
            if not (step.form.compiled or step.form.low_memory):  # where parts run once
                found[name]['parts'] = breakdown(step)
            if args.profile:
                found[name]['device'] = device_work(step)

    time_all(plain)
    keep_main_memory()  # as the scripts do from the start; there is no way back
    for name, step in steps.items():
        other, others = step.gradients()
        found[name]['loss_error'] = abs(other - loss) / abs(loss)
        found[name]['gradient_error'] = float((others - gradient).norm() / gradient.norm())
        # rounding changes the order in which Lovasz-softmax sorts, and by it 5e-4 of the gradient
        if device == 'cpu' and not FORMS[name].amp and found[name]['gradient_error'] > 2e-3:
            raise SystemExit(f'error: {name} gives other gradients: {found[name]}')
    time_all(steps)
    return {'floors': floors, 'forms': found}


def time_table(found: dict) -> str:
    """Return what `time_forms` found as a Markdown table, in milliseconds."""
    columns = ['form', 'step', 'times as fast', 'processor', 'times as fast', *PARTS]
    lines = [
        f'| {" | ".join(columns)} | loss, gradient off by |',
        '|---' * (len(columns) + 1) + '|',
    ]
    plain = found['forms']['plain']
    for name, row in found['forms'].items():
        cells = [name]
        for clock in CLOCKS:
            cells += [milliseconds(row[clock]), f'{plain[clock] / row[clock]:.2f}']
        cells += [milliseconds(row['parts'][p]) if 'parts' in row else '' for p in PARTS]
        cells.append(f'{row["loss_error"]:.0e}, {row["gradient_error"]:.0e}')
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def device_table(name: str, row: dict) -> str:
    """Return what a GPU does in a form's step as a sentence and a Markdown table."""
    work = row['device']
    busy, step = (milliseconds(s) for s in (work['busy_seconds'], row['seconds']))
    lines = [
        f'{name}: device busy {busy} ms of {step} ms; {work["kernels"]} kernels, copies and fills '
        f'of together {milliseconds(work["kernel_seconds"])} ms\n',
        '| ms | calls | kernel |\n|---|---|---|',
    ]
    for kernel in work['longest']:
        title = kernel['name'].replace('|', '/')[:120]
        lines.append(f'| {milliseconds(kernel["seconds"])} | {kernel["calls"]} | {title} |')
    return '\n'.join(lines)


def memory_of_forms(model: nn.Module, names: list[str], side: int, device: str) -> dict:
    """Return the memory of each form that can be counted, and of those of ``names`` on a GPU."""
    found = {name: memory(model, f, side) for name, f in FORMS.items() if not f.compiled}
    for name in names if device == 'cuda' else ():
        found.setdefault(name, {})['allocated'] = gpu_peak(model, FORMS[name], side)
    return found


def memory_table(found: dict) -> str:
    """Return what `memory_of_forms` found as a Markdown table, in MiB and TFLOP."""
    columns = ['form', 'fixed', 'saved', 'peak', 'of plain', 'TFLOP']
    on_gpu = 'allocated' in found['plain']
    columns += ['allocated on the GPU', 'of plain'] * on_gpu
    lines = [f'| {" | ".join(columns)} |', '|---' * len(columns) + '|']
    plain = found['plain']
    for name, row in found.items():
        cells = [name, *[''] * 5]
        if 'peak' in row:
            cells[1:4] = (f'{row[key]:.0f}' for key in ('fixed', 'saved', 'peak'))
            cells[4:] = f'{row["peak"] / plain["peak"]:.2f}', f'{row["tflop"]:.2f}'
        if 'allocated' in row:
            taken = row['allocated']
            cells += [f'{taken:.0f}', f'{taken / plain["allocated"]:.3f}']
        elif on_gpu:
            cells += ['', '']
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/train_step.py --side 256 --rounds 3',
    )
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument('--side', type=int, default=512, help='of the image [%(default)s]')
    parser.add_argument('--rounds', type=int, default=3, help='the median counts [%(default)s]')
    parser.add_argument(
        '--forms',
        nargs='+',
        choices=FORMS,
        help='what is timed beside the plain one [all on a GPU, float32 on a CPU]',
    )
    parser.add_argument('--only', choices=['time', 'memory'], help='[both]')
    parser.add_argument('--profile', action='store_true', help='list the kernels of a GPU')
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    args = parser.parse_args()
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if args.profile and (device == 'cpu' or args.only == 'memory'):
        parser.error('--profile: it goes with the times of a GPU')
    if args.profile and ProfilerActivity.CUDA not in supported_activities():
        parser.error('--profile: torch finds no CUPTI, by which it would see kernels')
    torch.backends.cudnn.benchmark = True  # as the recipes have it
    asked = args.forms or (FORMS if device == 'cuda' else ['float32'])
    names = list(dict.fromkeys(['plain', *asked]))
    how = made_how(device, {})
    for name, value in how.items():
        print(f'{name}: {value}')
    model = make_model(args.model)
    head = f'{args.model}, {args.side} x {args.side}'
    found: dict = {}
    if args.only != 'memory':
        found['time'] = time_forms(model, names, args.side, device, args)
        floors = (f'{milliseconds(s)} in {kind}' for kind, s in found['time']['floors'].items())
        print(f'\n{head}, ms a step; floor of its products {", ".join(floors)}\n')
        print(time_table(found['time']), flush=True)
        for name, row in found['time']['forms'].items():
            if args.profile:
                print(f'\n{device_table(name, row)}', flush=True)
    if args.only != 'time':
        found['memory'] = memory_of_forms(model, names, args.side, device)
        print(
            f'\n{head}, MiB: always there, saved by the forward pass, peak, part of the plain one; '
            f'arithmetic\n\n{memory_table(found["memory"])}'
        )
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, **found})


if __name__ == '__main__':
    main()
