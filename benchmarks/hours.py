"""Hours that the rows of a folder of configs take on GPUs, counted and derived.

Counted here: the operations of products and convolutions of each recipe's step at full size, on
tensors without data. Given: the speed that a step reaches, the speed of reading, what the process
with the label bank needs for a sample, and the bandwidth between the GPUs of a node. On a GPU
`benchmarks/train_step.py` gives the speed that a step reaches: the operations counted here by its
seconds.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from measuring import operations, parser_of
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.files import write_json
from mmseg_uvpt.sweep.rows import find_rows

REPOSITORY = Path(__file__).resolve().parents[1]
SIDE = 512  # of a crop
VAL_FRAMES = 500  # of Cityscapes
BYTES = 4  # of a gradient's number


class Stage(NamedTuple):
    """A training: operations and images of an iteration, trained numbers, iterations.

    ``forward`` is the part of the operations after which the loss is known.
    """

    operations: float
    forward: float
    images: int
    trained: int
    iterations: int
    validation: float  # operations of a validation frame
    evaluations: int


def main() -> None:
    """Count, then print hours for 1, 8 and 64 GPUs, and what binds."""
    parser = parser_of(__doc__, 'hours.py --tflops 71 --images 720 --bank-ms 9.3')
    parser.add_argument(
        '--tflops',
        type=float,
        nargs='+',
        required=True,
        help='that a step reaches on a GPU; several make several tables',
    )
    parser.add_argument('--config-root', type=Path, default=REPOSITORY / 'configs')
    parser.add_argument('--images', type=float, required=True, help='read in a second, a GPU')
    parser.add_argument('--bank-ms', type=float, required=True, help='of the label bank, a sample')
    parser.add_argument('--node-gbs', type=float, default=450, help='GB/s of a GPU within a node')
    args = parser.parse_args()
    init_default_scope('mmseg')
    counted_stages = {
        str(row): {'pretraining': pretraining(row), 'adaptation': adaptation(row)}
        for row in find_rows(args.config_root)
    }
    figures = {speed: hours(counted_stages, speed, args) for speed in args.tflops}
    for speed, rows in figures.items():
        print(f'\nat {speed:g} TFLOP/s')
        report(rows)
    if args.json:
        given = {name: value for name, value in vars(args).items() if name != 'json'}
        given['config_root'] = str(args.config_root)
        write_json(args.json, {'given': given, 'rows': figures})


def hours(stages: dict[str, dict[str, Stage]], speed: float, args: argparse.Namespace) -> dict:
    """Return the figures of each row's stages at a speed, in TFLOP/s."""
    return {
        row: {
            name: {**stage._asdict(), **times(stage, name == 'adaptation', speed, args)}
            for name, stage in both.items()
        }
        for row, both in stages.items()
    }


def report(figures: dict) -> None:
    """Print a table, and the sums."""
    print('| row | stage | TFLOP a step | hours, 1 GPU | binds | 8 GPUs a row | binds |')
    print('|---' * 7 + '|')
    for row, stages in figures.items():
        for name, f in stages.items():
            cells = [f'{f["operations"] / 1e12:.2f}']
            for gpus in (1, 8):
                cells += [f'{f[f"hours on {gpus}"]:.1f}', f[f'binds on {gpus}']]
            print(f'| {row} | {name} | {" | ".join(cells)} |')
    alone = [sum(f['hours on 1'] for f in stages.values()) for stages in figures.values()]
    shared = [sum(f['hours on 8'] for f in stages.values()) for stages in figures.values()]
    print(f'all rows: {sum(alone):.1f} h on 1 GPU; {max(alone):.1f} h on 8, a row each; ', end='')
    print(f'{max(shared):.1f} h on 64, eight a row, which is another recipe')


def pretraining(row) -> Stage:
    """Count a step of a source model."""
    cfg = Config.fromfile(row.pretraining)
    model = MODELS.build(cfg.model).to('meta').train()
    batch = cfg.train_dataloader.batch_size
    features = []
    body = operations(lambda: features.append(model.extract_feat(image(batch))))
    kept = [f.detach().requires_grad_() for f in features[0]]
    head = operations(lambda: model.decode_head(kept).sum().backward())
    heads = sum(name.startswith('decode_head') for name, _ in model.named_children())
    heads = max(1, heads - 1)  # of several each batch leaves one out
    forward = body + heads * head / 3  # backward: twice the forward
    return stage_of(cfg, model, 3 * forward, forward)


def adaptation(row) -> Stage:
    """Count a step of three views and its backward."""
    cfg = Config.fromfile(row.adaptation)
    # eval: in train mode frozen branches that drop path drops are left out, at random
    model = MODELS.build({**cfg.model, 'source_checkpoint': None}).to('meta').eval()
    batch = cfg.train_dataloader.batch_size

    losses = []

    def forward() -> None:
        for scale in (1, 0.5, 2):
            view = model.run_view(image(batch), scale)
            losses.append(view.logits.sum() + sum(p.sum() for p in view.prompts))

    to_the_loss = operations(forward)
    return stage_of(cfg, model, to_the_loss + operations(sum(losses).backward), to_the_loss)


def image(batch: int, height: int = SIDE, width: int = SIDE) -> torch.Tensor:
    """Return images without data."""
    return torch.empty(batch, 3, height, width, device='meta')


def stage_of(cfg: Config, model, step: float, forward: float) -> Stage:
    """Return the stage whose step has so many operations; count those of a validation frame."""
    model.eval()
    with torch.no_grad():
        validation = operations(lambda: model.decode_head(model.extract_feat(image(1, 512, 1024))))
    return Stage(
        operations=step,
        forward=forward,
        images=cfg.train_dataloader.batch_size,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        iterations=cfg.train_cfg.max_iters,
        validation=validation,
        evaluations=cfg.train_cfg.max_iters // cfg.train_cfg.val_interval,
    )


def times(stage: Stage, corrects: bool, speed: float, args: argparse.Namespace) -> dict:
    """Return hours and what binds: on one GPU, and on eight that share a row's samples."""
    result = {}
    forward = stage.forward / (speed * 1e12)
    backward = stage.operations / (speed * 1e12) - forward
    reading = stage.images / args.images
    for gpus in (1, 8):
        bank = gpus * stage.images * args.bank_ms / 1e3 if corrects else 0.0
        reduction = 0.0
        if gpus > 1:  # a ring: each number goes out and comes in about twice
            reduction = 2 * (gpus - 1) / gpus * stage.trained * BYTES / (args.node_gbs * 1e9)
        # reading goes on beside the step, the label bank's work beside the backward pass
        parts = {'reading': reading, 'step': forward + max(backward + reduction, bank)}
        binds = max(parts, key=parts.get)
        if binds == 'step' and bank > backward + reduction:
            binds = 'label bank'
        elif binds == 'step' and reduction > forward + backward:
            binds = 'reduction'
        frames = stage.evaluations * VAL_FRAMES / gpus
        evaluation = frames * max(stage.validation / (speed * 1e12), 1 / args.images)
        seconds = stage.iterations / gpus * max(parts.values()) + evaluation
        result[f'hours on {gpus}'] = seconds / 3600
        result[f'binds on {gpus}'] = binds
    return result


if __name__ == '__main__':
    main()
