"""Time the losses of an adaptation step, plain and accelerated, part by part, in one run.

The plain form is that of `models/losses`, which `accelerate` replaces where a faster one is known.
Losses and gradients of both are compared before anything is timed. The step is that of the recipes:
19 classes, three views of an image, prompts as wide as Swin-B's. Only the network is left out.

Lovasz-softmax depends on what was predicted, so there are three kinds of predictions:

- untrained: noise, a label a pixel. Few pixels of other classes weigh anything.
- trained: smooth maps with sharp borders, a quarter of the labels wrong, the top rows ignored.
- hardest: the same where each class has a pixel of probability 1, so that all pixels weigh.

Forms take turns, and the median counts. The floor is the time in which the inputs can be read and
their gradients written once, at the speed of a large copy, measured in the same run. On a GPU times
include what the processor does to launch the work, and end when the GPU has done it.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from measuring import (
    chosen_device,
    copy_bytes_per_second,
    made_how,
    parser_of,
    seconds_on_cpu,
    tell,
    waited,
)
from torch import Tensor
from torch.nn import Module
from whole_model import make_model

CLASSES = 19
VIEWS = (1.0, 0.5, 2.0)
WIDTHS = (128, 256, 512, 1024)  # of Swin-B's prompts
KINDS = ('untrained', 'trained', 'hardest')


class Part(NamedTuple):
    """One thing to time: its forms by name, the first of which is plain, and its inputs."""

    name: str
    forms: dict[str, Callable[[], Tensor]]
    inputs: list[Tensor]


def logits_and_labels(kind: str, side: int) -> tuple[list[Tensor], Tensor]:
    """Return the logits of the three views, a quarter of the side of each, and the labels."""
    generator = torch.Generator().manual_seed(0)
    sizes = [int(side * scale) // 4 for scale in VIEWS]
    if kind == 'untrained':
        logits = [torch.randn(1, CLASSES, n, n, generator=generator) for n in sizes]
        return logits, torch.randint(0, CLASSES, (1, side, side), generator=generator)
    coarse = 12 * torch.randn(1, CLASSES, side // 32, side // 32, generator=generator)
    logits = [
        F.interpolate(coarse, size=(n, n), mode='bicubic')
        + torch.randn(1, CLASSES, n, n, generator=generator)
        for n in sizes
    ]
    labels = F.interpolate(logits[0], size=(side, side), mode='bilinear').argmax(1)
    wrong = torch.rand(1, 1, side // 16, side // 16, generator=generator) < 0.25
    wrong = F.interpolate(wrong.float(), size=(side, side))[:, 0] > 0
    labels = torch.where(wrong, labels.roll(side // 8, 2), labels)
    labels[:, : side // 16] = 255
    if kind == 'hardest':
        for c in labels.unique()[:-1].tolist():
            y, x = (labels[0] == c).nonzero()[0].tolist()
            for view in logits:
                scale = (view.shape[2] - 1) / (side - 1)
                y0, x0 = int(y * scale), int(x * scale)
                view[0, :, y0 : y0 + 2, x0 : x0 + 2] = -100
                view[0, c, y0 : y0 + 2, x0 : x0 + 2] = 100
    return logits, labels


def lovasz_part(kind: str, side: int, device: str) -> Part:
    """Return Lovasz-softmax alone, from the probabilities on."""
    from mmseg_uvpt.models.losses.lovasz import LovaszSoftmax
    from mmseg_uvpt.ops.lovasz import lovasz_softmax

    logits, labels = logits_and_labels(kind, side)
    resized = F.interpolate(logits[0], size=(side, side), mode='bilinear', align_corners=True)
    p, labels = resized.softmax(1).to(device).requires_grad_(), labels.to(device)
    forms = {
        'plain': lambda: LovaszSoftmax()(p, labels),
        'fast': lambda: lovasz_softmax(p, labels),
        '1024 bins': lambda: lovasz_softmax(p, labels, bins=1024),
    }
    return Part(f'Lovasz-softmax, {kind}', forms, [p])


def step_parts(side: int, device: str) -> list[Part]:
    """Return the other parts of a step, which have one form, and all losses together."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    from mmseg_uvpt.acceleration.accelerate import accelerate
    from mmseg_uvpt.models.losses.consistency import (
        mix,
        prediction_consistency,
        prompt_consistency,
    )
    from mmseg_uvpt.models.losses.entropy import entropy_regulariser
    from mmseg_uvpt.models.segmentors.adaptation import View, agreement

    logits, labels = logits_and_labels('trained', side)
    logits = [x.to(device).requires_grad_() for x in logits]
    labels = labels.to(device)
    prompts = [
        [
            torch.rand(1, width, n, n, device=device).requires_grad_()
            for width, n in ((w, int(side * scale) // 4 >> i) for i, w in enumerate(WIDTHS))
        ]
        for scale in VIEWS
    ]
    sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
    views = {
        scale: View(x, (), tuple(of_view))
        for scale, x, of_view in zip(VIEWS, logits, prompts, strict=True)
    }
    image = torch.empty(1, 3, side, side, device=device)
    models = {name: make_model('swin-nano').to(device) for name in ('plain', 'fast')}
    accelerate(models['fast'])
    for model in models.values():  # their networks are not run
        model.run_view = lambda image, scale: views[scale]
    model = models['plain']
    weights = model.scale_weights

    resize = partial(F.interpolate, size=(side, side), mode='bilinear', align_corners=True)
    resized = [resize(x.detach()).requires_grad_() for x in logits]
    logs = [x.detach().log_softmax(1).requires_grad_() for x in resized]
    flat_prompts = [p for view in prompts for p in view]

    def consistency() -> Tensor:
        p = [x.exp() for x in logs]
        return prediction_consistency(p, logs, mix(p, weights), labels)

    def all_losses(model: Module) -> Tensor:
        return model.parse_losses(model.loss(image, [sample]))[0]

    alone = {
        'resize logits': (lambda: sum(resize(x).sum() for x in logits), logits),
        'log softmax': (lambda: sum(x.log_softmax(1).sum() for x in resized), resized),
        'mixture and consistency': (consistency, logs),
        'entropy': (lambda: entropy_regulariser(logs[0].exp(), logs[0]), logs[:1]),
        'prompt consistency': (
            lambda: sum(prompt_consistency(v) for v in zip(*prompts, strict=True)),
            flat_prompts,
        ),
        'agreement with the labels': (lambda: agreement(resized[0].detach(), labels), []),
        'prediction for the correction': (
            lambda: model.predict_for_correction(logits, labels.shape[1:]).confidence,
            [],
        ),
    }
    together = {name: partial(all_losses, model) for name, model in models.items()}
    return [
        *(Part(name, {'plain': form}, inputs) for name, (form, inputs) in alone.items()),
        Part('all of these and Lovasz-softmax', together, [*logits, *flat_prompts]),
    ]


def agree(part: Part) -> None:
    """Check that the exact forms give the same loss and, where errors are not equal, gradient.

    Raises:
        AssertionError: they do not.
    """
    exact = [form() for name, form in part.forms.items() if 'bins' not in name]
    for other in exact[1:]:
        torch.testing.assert_close(other.flatten(), exact[0].flatten(), rtol=1e-4, atol=1e-5)
        if part.name.endswith('untrained'):
            one, two = (torch.autograd.grad(x, part.inputs)[0] for x in (exact[0], other))
            assert (one - two).norm() < 1e-2 * one.norm()  # the plain form's steps are differences


def measure(part: Part, device: str, rounds: int, bandwidth: float) -> list[dict]:
    """Return a row for each form of a part: seconds forward, and with backward."""

    def forward(form: Callable[[], Tensor]) -> None:
        with torch.no_grad():
            form()

    def forward_backward(form: Callable[[], Tensor]) -> None:
        torch.autograd.grad(form(), part.inputs)

    agree(part)
    runs = {name: waited(partial(forward, form), device) for name, form in part.forms.items()}
    seconds = seconds_on_cpu(runs, rounds)
    both = seconds
    if part.inputs:
        runs = {
            name: waited(partial(forward_backward, form), device)
            for name, form in part.forms.items()
        }
        both = seconds_on_cpu(runs, rounds)
    moved = 2 * sum(x.numel() * x.element_size() for x in part.inputs)
    return [
        {
            'part': part.name,
            'form': name,
            'forward_s': seconds[name],
            'forward_backward_s': both[name] if part.inputs else None,
            'floor_s': moved / bandwidth if part.inputs else None,
        }
        for name in part.forms
    ]


def table(rows: list[dict]) -> str:
    """Return rows as a Markdown table, in milliseconds; ratios are to the plain form."""
    lines = [
        'Milliseconds forward / forward + backward (times as fast as the plain form)',
        '',
        '| part | floor | plain | fast | 1024 bins |\n|---|---|---|---|---|',
    ]
    for part in dict.fromkeys(row['part'] for row in rows):
        forms = {row['form']: row for row in rows if row['part'] == part}
        cells = []
        for name in ('plain', 'fast', '1024 bins'):
            times = []
            for key in ('forward_s', 'forward_backward_s'):
                seconds = forms.get(name, {}).get(key)
                if seconds is not None:
                    plain = forms['plain'][key] if name != 'plain' and 'plain' in forms else None
                    times.append(
                        f'{1e3 * seconds:.3g}' + (f' ({plain / seconds:.1f}x)' if plain else '')
                    )
            cells.append(' / '.join(times))
        floor = next(iter(forms.values()))['floor_s']
        cells.insert(0, '' if floor is None else f'{1e3 * floor:.2g}')
        lines.append(f'| {part} | {" | ".join(cells)} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = parser_of(__doc__, 'losses.py --side 512 --json losses.json')
    parser.add_argument('--side', type=int, default=512, help='of the image [%(default)s]')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help='[a GPU if there is one]')
    parser.add_argument('--rounds', type=int, default=5, help='the median counts [%(default)s]')
    args = parser.parse_args()
    device = chosen_device(parser, args.device)

    how = made_how(device, {})
    tell(how)
    bandwidth = copy_bytes_per_second(device)
    parts = [partial(lovasz_part, kind, args.side, device) for kind in KINDS]
    rows = []
    for part in (*(make() for make in parts), *step_parts(args.side, device)):
        rows += measure(part, device, args.rounds, bandwidth)
    print(f'\n{table(rows)}')
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, 'rows': rows})


if __name__ == '__main__':
    main()
