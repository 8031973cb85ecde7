"""Measure the label correction's share of a training iteration, in a training of the real recipe.

The recipe is `configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py` without weights from files, on
noise of Cityscapes' size: a whole iteration, with data loading, beside what the hook does in it.
All classes are corrected all the time, and every iteration decides, which the recipe does in every
200th. So the share is an upper bound, with a 200th of a decision counted.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from measuring import made_how

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPE = 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'
FRAMES = 2  # so that the second epoch, in which labels are corrected, begins soon
DECISIONS = 1 / 200  # an iteration


def write_data(folder: Path) -> None:
    """Write noise and labels in blocks as Cityscapes' training images and pseudo labels."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(FRAMES):
        image = folder / f'cityscapes/leftImg8bit/train/city/{number}_leftImg8bit.png'
        label = folder / f'pseudo/city/{number}_gtFine_labelTrainIds.png'
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (1024, 2048, 3), np.uint8)).save(image)
        blocks = rng.integers(0, 19, (32, 64), np.uint8)
        Image.fromarray(np.kron(blocks, np.ones((32, 32), np.uint8))).save(label)


def make_runner(folder: Path, model: str, iterations: int):
    """Return the recipe's runner, shortened to what is measured."""
    from mmengine.config import Config

    from mmseg_uvpt.engine.runner import build_runner

    write_data(folder)
    cfg = Config.fromfile(REPOSITORY / RECIPE)
    if model != 'swin-b':
        cfg.model = Config.fromfile(REPOSITORY / f'configs/_base_/models/{model}_uni-uvpt.py').model
    cfg.model.source_checkpoint = None
    cfg.model.backbone.staged.init_cfg = None
    cfg.work_dir = str(folder / 'work')
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations)
    for name in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{name}_{part}'] = None
    cfg.train_dataloader.dataset.data_root = str(folder / 'cityscapes')
    cfg.default_hooks.checkpoint.update(save_best=None, interval=iterations + 1, save_last=False)
    cfg.default_hooks.label_correction.update(
        pseudo_label_dir=str(folder / 'pseudo'), interval=1, queue_length=1
    )
    cfg.vis_backends = cfg.visualizer.vis_backends = []
    cfg.log_level = 'WARNING'
    return build_runner(cfg)


def watch(hook) -> dict[str, list[float]]:
    """Time the hook's parts from now on, and have it correct all classes."""
    seconds = defaultdict(list)

    def timed(name):
        method = getattr(hook, name)

        def run(*args, **kwargs):
            if name == 'before_train_iter':
                hook.rule.correcting[:] = True
                seconds['start'].append(time.perf_counter())
            start = time.perf_counter()
            result = method(*args, **kwargs)
            seconds[name].append(time.perf_counter() - start)
            return result

        setattr(hook, name, run)

    for name in ('before_train_iter', 'after_train_iter', '_decide'):
        timed(name)
    return seconds


def main() -> None:
    """Measure, print a table, write JSON."""
    from mmseg_uvpt.torchvision_schema import declare_missing_operators

    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/label_correction.py --iterations 4',
    )
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument(
        '--iterations',
        type=int,
        default=6,
        help='of which the medians count, without the first two and the last [%(default)s]',
    )
    parser.add_argument('--json', type=Path, help='write all figures to this file')
    args = parser.parse_args()
    if args.iterations < 4:
        parser.error('--iterations must be at least 4')
    declare_missing_operators()
    logging.disable(logging.WARNING)

    from mmseg_uvpt.correction.hook import LabelCorrectionHook

    with tempfile.TemporaryDirectory() as folder:
        runner = make_runner(Path(folder), args.model, args.iterations)
        hook = next(hook for hook in runner.hooks if isinstance(hook, LabelCorrectionHook))
        seconds = watch(hook)
        runner.train()
        runner.end_workers()
    how = made_how(next(runner.model.parameters()).device.type, {})
    middle = {name: statistics.median(found[2:]) for name, found in seconds.items()}
    iteration = statistics.median(np.diff(seconds['start'])[2:])
    keep = middle['after_train_iter'] - middle['_decide']
    part = middle['before_train_iter'] + keep + DECISIONS * middle['_decide']
    iteration -= (1 - DECISIONS) * middle['_decide']
    row = {
        'model': args.model,
        'correct_and_read_labels_s': middle['before_train_iter'],
        'keep_prediction_s': keep,
        'decide_s': middle['_decide'],
        'iteration_s': iteration,
        'share': part / iteration,
    }
    for name, value in {**how, **row}.items():
        print(f'{name}: {value:.4g}' if isinstance(value, float) else f'{name}: {value}')
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, 'rows': [row]})


if __name__ == '__main__':
    main()
