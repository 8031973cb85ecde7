"""Time a training iteration and an inference of a whole adapted model, each backend in one run.

The model is that of the recipes at full size with random weights, batch 1, on the CPU. A training
iteration has the three views, the losses, the backward and the optimiser's step; an inference is
one image in eval mode. The backends of deformable attention take turns, and the median counts.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

REPOSITORY = Path(__file__).resolve().parents[1]


def make_model(name: str):
    """Build an adapted model as the recipes do, with random weights that let each part count.

    As recipes begin, adapters would add a millionth of what they compute, they would sample at
    pixels' edges, where rounding decides between two gradients, and no pixel would be confident
    enough for the prediction consistency.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    import mmseg_uvpt.register  # noqa: F401

    init_default_scope('mmseg')
    torch.manual_seed(0)
    config = Config.fromfile(REPOSITORY / f'configs/_base_/models/{name}_uni-uvpt.py')
    model = MODELS.build(config.model)
    for adapter in model.backbone.adapters:
        torch.nn.init.normal_(adapter.injector.gamma, std=0.1)
        for part in (adapter.extractor, adapter.injector):
            torch.nn.init.normal_(part.attn.sampling.weight, std=0.02)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=0.3)
    return model


def source_tensors(adapted: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of the source model within an adapted one, under its own names."""
    return {
        name.replace('backbone.staged.', 'backbone.'): tensor
        for name, tensor in adapted.state_dict().items()
        if name.startswith(('backbone.staged.', 'decode_head.'))
    }


def training_iteration(model, side: int) -> Callable[[], None]:
    """Return a function that runs one iteration on an image of ``side`` x ``side``."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6)
    image = torch.randn(1, 3, side, side)
    labels = np.kron(np.random.default_rng(0).integers(0, 19, (side // 16,) * 2), np.ones((16, 16)))
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.from_numpy(labels).long()[None]))

    def run() -> None:
        model.train()
        optimizer.zero_grad()
        model.parse_losses(model.loss(image, [sample]))[0].backward()
        optimizer.step()

    return run


def inference(model, side: int) -> Callable[[], None]:
    """Return a function that predicts one image of ``side`` x ``side``."""
    image = torch.randn(1, 3, side, side)

    def run() -> None:
        model.eval()
        with torch.no_grad():
            model.predict(image)

    return run


def main() -> None:
    """Measure and print a Markdown table."""
    from mmseg_uvpt.ops import backends

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/whole_model.py --model swin-b --side 512',
    )
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument('--side', type=int, default=512, help='of the image [%(default)s]')
    parser.add_argument('--rounds', type=int, default=3, help='the median counts [%(default)s]')
    args = parser.parse_args()
    if backends.missing['cpp']:
        parser.error(f'there is nothing to compare with: {backends.missing["cpp"]}')

    model = make_model(args.model)
    threads = torch.get_num_threads()
    print(f'{args.model}, {args.side} x {args.side}, float32, {threads} threads')
    print('| seconds | reference | cpp | ratio |\n|---|---|---|---|')
    work = {
        'a whole inference': inference(model, args.side),
        'a whole training iteration': training_iteration(model, args.side),
    }
    for name, run in work.items():
        times = {'reference': [], 'cpp': []}
        for number in range(args.rounds + 1):
            for backend, found in times.items():
                with backends.forced(backend):
                    start = time.perf_counter()
                    run()
                    if number:  # the first round warms up
                        found.append(time.perf_counter() - start)
        plain, compiled = (statistics.median(found) for found in times.values())
        print(f'| {name} | {plain:.2f} | {compiled:.2f} | {plain / compiled:.2f} |', flush=True)


if __name__ == '__main__':
    main()
