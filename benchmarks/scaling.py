"""A model of how long an iteration of several processes takes, compared with a run of two.

An iteration of P processes is taken to last as long as

    max(reading, step + reductions + bank)

where ``step`` is the iteration of one process, with its neighbours busy too; ``reductions`` those
of gradients, of batch norms and of flags; ``bank`` what passes to the process with the label bank
and back, and its work on the samples of all. On the CPU each part is measured on its own, then a
training in two processes is measured and compared with their sum. `benchmarks/hours.py` applies
the model to the benchmark's rows on GPUs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soak
import torch
import torch.distributed as dist
from measuring import parser_of

from mmseg_uvpt.files import write_json

REPOSITORY = Path(__file__).resolve().parents[1]
CONFIG = 'configs/rehearsal/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'
ITERATIONS = 60


def main() -> None:
    """Measure the parts and the whole on the CPU; print both."""
    parser = parser_of(__doc__, 'scaling.py --json work_dirs/scaling.json')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/soak'))
    parser.add_argument('--part', choices=['exchange'], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(exchange_parts()), flush=True)
        return
    root = args.work_dir.absolute()
    data, source, labels = (root / name for name in ('data', 'source', 'labels'))
    if not (labels / 'pseudo_labels.json').is_file():
        soak.prepare(data, source, labels)
    common = [CONFIG, '--source-checkpoint', source / 'iter_20.pth', '--data-root', data]
    common += ['--pseudo-label-dir', labels]
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        alone = iteration_ms([start([], common, runs / 'alone')], runs, ['alone'])
        both = [start([], common, runs / name) for name in 'ab']
        step = iteration_ms(both, runs, ['a', 'b'])
        together = start(torchrun(2), common, runs / 'together')
        whole = iteration_ms([together], runs, ['together'])
        parts = measured_exchange()
    reductions = parts['gradient'] + parts['norms'] + parts['flags']
    model = step + reductions + parts['bank']
    figures = {
        'one process, nothing beside it': alone,
        'step: one of two processes that do not talk': step,
        'reduction of gradients': parts['gradient'],
        'reductions of batch norms': parts['norms'],
        'reductions of flags': parts['flags'],
        'to the label bank and back': parts['bank'],
        'predicted: two processes together': model,
        'measured: two processes together': whole,
    }
    for name, value in figures.items():
        print(f'{name:50} {value:8.2f} ms')
    print(f'measured / predicted: {whole / model:.2f}')
    if args.json:
        write_json(args.json, figures)


def torchrun(processes: int) -> list[str]:
    """Return the arguments of Python that start a script in several processes."""
    return ['-m', 'torch.distributed.run', '--standalone', f'--nproc-per-node={processes}']


def start(launch: list[str], common: list, folder: Path) -> subprocess.Popen:
    """Start an adaptation without evaluations."""
    options = [f'train_cfg.max_iters={ITERATIONS}', 'train_dataloader.batch_size=1']
    options += [
        f'default_hooks.checkpoint.interval={ITERATIONS}',
        'default_hooks.logger.interval=1',
    ]
    return subprocess.Popen(
        [
            *(sys.executable, *launch, 'train.py', *common),
            *('--work-dir', folder, '--cfg-options', *options),
        ],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        env=_environment(),
    )


def iteration_ms(processes: list[subprocess.Popen], runs: Path, names: list[str]) -> float:
    """Return the median of an iteration, the first third left out."""
    for process in processes:
        if process.wait():
            sys.exit('a training failed; see above')
    times = []
    for name in names:
        (log,) = (runs / name).glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        last = {}
        for line in lines:
            if 'loss' in line and line['step'] > ITERATIONS // 3:
                last[line['step']] = 1000 * line['time']
        times += last.values()
    return statistics.median(times)


def measured_exchange() -> dict[str, float]:
    """Return what two processes take to tell each other what an iteration needs, in ms."""
    done = subprocess.run(
        [sys.executable, *torchrun(2), __file__, '--part', 'exchange'],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        env=_environment(),
        check=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]  # of both processes
    return {name: max(line[name] for line in lines) for name in lines[0]}


def exchange_parts() -> dict[str, float]:
    """Measure as one of two processes."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    import mmseg_uvpt.register  # noqa: F401
    from mmseg_uvpt.correction.batch import Crop, gather, scatter
    from mmseg_uvpt.correction.label_bank import Box, Kept
    from mmseg_uvpt.engine.training import distributed, sync_batch_norm
    from mmseg_uvpt.nested import parts_of_type

    distributed.join('pytorch')
    init_default_scope('mmseg')
    cfg = Config.fromfile(REPOSITORY / CONFIG)
    model = MODELS.build({**cfg.model, 'source_checkpoint': None})
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    gradient, flag = torch.zeros(trained), torch.zeros(1)
    features = {norm.num_features: torch.randn(1, norm.num_features, 1, 1) for norm in norms}
    (crop,) = parts_of_type(cfg.train_dataloader.dataset.pipeline, 'CropWithBox')
    side = crop.crop_size[0]
    crop = Crop(0, (side, side), Box(0, side, 0, side), False)
    label = torch.zeros(side, side, dtype=torch.uint8).numpy()
    kept = Kept(crop.box, label, label.astype('float16'))

    def synchronise_norms() -> None:
        for norm in norms * 3:  # three views
            x = features[norm.num_features].requires_grad_()
            torch.autograd.grad(sum(m.sum() for m in sync_batch_norm.joint_moments(x)[1:]), x)

    def exchange_labels() -> None:
        dealt = gather([crop])
        scatter(dealt and [[label] for _ in dealt])
        gather([(0, kept)])

    return {
        'gradient': _ms(lambda: dist.all_reduce(gradient)),
        'norms': _ms(synchronise_norms),
        'flags': _ms(lambda: [dist.all_reduce(flag) for _ in range(2)]),
        'bank': _ms(exchange_labels),
    }


def _ms(function, rounds: int = 30) -> float:
    times = []
    for _ in range(rounds):
        dist.barrier()
        begin = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def _environment() -> dict[str, str]:
    return {**os.environ, 'OMP_NUM_THREADS': '1'}


if __name__ == '__main__':
    main()
