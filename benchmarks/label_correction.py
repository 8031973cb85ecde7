"""Measure the label correction's share of a training iteration, in a training of the real recipe.

The recipe is `configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py` without weights from files, on
noise of Cityscapes' size, with an image cache. All classes are corrected all the time. Blocks of
iterations of three kinds take turns within one training, and the medians count; the first round
warms up:

- with: the hook does its work, but for decisions. On a GPU it does so beside the backward pass.
- without: images get a label that is at hand, and nothing is kept.
- apart: the GPU is waited for before the hook begins, so that the hook's times are its own, copies
  included; and every iteration decides, which the recipe does in every 200th.

A block ends when the GPU has nothing more to do. The share on the critical path is what "with"
takes longer than "without". The share of the hook's own work is an upper bound of it, with a 200th
of a decision counted: on a CPU look at this one, since iterations there differ by more than the
hook takes.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from measuring import made_how, parser_of, tell, write_target

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPE = 'configs/uni_uvpt/sss_swin-b_gta5-to-cityscapes.py'
FRAMES = 2  # so that the second epoch, in which labels are corrected, begins soon
DECISIONS = 1 / 200  # an iteration
KINDS = ('with', 'without', 'apart')
PARTS = ('before_train_iter', 'after_train_iter', '_decide')


def make_runner(folder: Path, args: argparse.Namespace, iterations: int):
    """Return the recipe's runner, shortened to what is measured."""
    from mmengine.config import Config

    from mmseg_uvpt.acceleration.accelerate import accelerate_as_config_says
    from mmseg_uvpt.engine.config.complete import complete, use_cache
    from mmseg_uvpt.engine.config.training_labels import share_pseudo_labels
    from mmseg_uvpt.engine.config.uvpt import uvpt_config
    from mmseg_uvpt.engine.training import run
    from mmseg_uvpt.engine.training.runner import build_runner

    write_target(folder, FRAMES, (1024, 2048))
    cfg = Config.fromfile(REPOSITORY / RECIPE)
    if args.model != 'swin-b':
        models = REPOSITORY / 'configs/_base_/models'
        cfg.model = Config.fromfile(models / f'{args.model}_uni-uvpt.py').model
    cfg.model.source_checkpoint = None
    cfg.model.backbone.init_cfg = None
    cfg.work_dir = str(folder / 'work')
    cfg.uvpt.update(image_cache=str(folder / 'cache'), amp=args.amp)
    cfg.uvpt.update(compile=args.compile, compile_limit=None)
    cfg.train_cfg = dict(type='SeededTrainLoop', max_iters=iterations, val_interval=iterations)
    for name in ('val', 'test'):
        for part in ('cfg', 'dataloader', 'evaluator'):
            cfg[f'{name}_{part}'] = None
    cfg.train_dataloader.dataset.data_root = str(folder / 'cityscapes')
    cfg.default_hooks.checkpoint.update(save_best=None, interval=iterations + 1, save_last=False)
    cfg.default_hooks.label_correction.update(
        pseudo_label_dir=str(folder / 'labels'), interval=1, queue_length=1
    )
    share_pseudo_labels(cfg)
    cfg.vis_backends = cfg.visualizer.vis_backends = []
    cfg.log_level = 'WARNING'
    if args.amp:
        run.set_mixed_precision(cfg)
    complete(cfg)
    use_cache(cfg, cfg.uvpt.image_cache, 'train_dataloader')
    runner = build_runner(cfg)
    accelerate_as_config_says(runner.model, uvpt_config(cfg), cfg)
    return runner


class Watch:
    """Lets a hook work in blocks of the three kinds, and times them and its parts.

    ``blocks`` has the seconds of an iteration of each block, by its kind; ``parts`` those of the
    hook's methods in the blocks "apart".
    """

    def __init__(self, hook, block: int, on_gpu: bool):
        self.hook, self.block, self.on_gpu = hook, block, on_gpu
        self.blocks: dict[str, list[float]] = defaultdict(list)
        self.parts: dict[str, list[float]] = defaultdict(list)
        self._iteration = 0
        self._methods = {name: getattr(hook, name) for name in PARTS}
        for name in PARTS:
            setattr(hook, name, getattr(self, name))

    @property
    def kind(self) -> str:
        """Of the iteration that goes on."""
        return KINDS[self._iteration // self.block % len(KINDS)]

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict) -> None:
        """End a block where one ends; have all classes corrected, or give a label at hand."""
        self._iteration = batch_idx
        if batch_idx % self.block == 0:
            self._finish()
            now = time.perf_counter()
            if batch_idx:
                ended = KINDS[(batch_idx // self.block - 1) % len(KINDS)]
                self.blocks[ended].append((now - self._start) / self.block)
            self._start = now
        samples = data_batch['data_samples']
        if self.kind == 'without':
            for sample in samples:
                sample.gt_sem_seg = self._label
            return
        self.hook.rule.correcting[:] = True
        self._timed('before_train_iter', runner, batch_idx, data_batch)
        self._label = samples[0].gt_sem_seg

    def after_train_iter(self, *args, **kwargs) -> None:
        """Keep the prediction, where that is the kind."""
        if self.kind != 'without':
            self._timed('after_train_iter', *args, **kwargs)

    def _decide(self, *args) -> None:
        if self.kind == 'apart':
            self._timed('_decide', *args)

    def _timed(self, name: str, *args, **kwargs) -> None:
        if self.kind == 'apart' and name != '_decide':
            self._finish()
        start = time.perf_counter()
        self._methods[name](*args, **kwargs)
        if self.kind == 'apart':
            self.parts[name].append(time.perf_counter() - start)

    def _finish(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()


def measured(watch: Watch) -> dict[str, float]:
    """Return seconds and shares, medians without the first round."""
    blocks = {kind: np.array(seconds[1:]) for kind, seconds in watch.blocks.items()}
    parts = {name: statistics.median(found[watch.block :]) for name, found in watch.parts.items()}
    keep = parts['after_train_iter'] - parts['_decide']
    own = parts['before_train_iter'] + keep + DECISIONS * parts['_decide']
    longer = statistics.median(blocks['with'] - blocks['without'])
    iteration = statistics.median(blocks['with'])
    return {
        'correct_and_read_labels_s': parts['before_train_iter'],
        'keep_prediction_s': keep,
        'decide_s': parts['_decide'],
        'iteration_s': iteration,
        'iteration_without_s': statistics.median(blocks['without']),
        'share_of_own_work': own / iteration,
        'share_on_critical_path': longer / iteration,
    }


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = parser_of(__doc__, 'label_correction.py --rounds 1')
    parser.add_argument('--model', choices=['swin-b', 'mit-b5', 'swin-nano'], default='swin-b')
    parser.add_argument('--amp', action='store_true', help='as of train.py')
    parser.add_argument('--compile', action='store_true', help='as of train.py')
    parser.add_argument('--rounds', type=int, help='the medians count [10 on a GPU, 2 on a CPU]')
    parser.add_argument('--block', type=int, help='iterations [10 on a GPU, 1 on a CPU]')
    args = parser.parse_args()
    on_gpu = torch.cuda.is_available()
    rounds, block = args.rounds or (10 if on_gpu else 2), args.block or (10 if on_gpu else 1)
    if rounds < 1 or block < 1:
        parser.error('--rounds and --block must be at least 1')
    logging.disable(logging.WARNING)

    from mmseg_uvpt.correction.hook import LabelCorrectionHook

    with tempfile.TemporaryDirectory() as folder:
        runner = make_runner(Path(folder), args, (rounds + 1) * len(KINDS) * block + 1)
        hook = next(hook for hook in runner.hooks if isinstance(hook, LabelCorrectionHook))
        watch = Watch(hook, block, on_gpu)
        runner.train()
        runner.end_workers()
    how = made_how('cuda' if on_gpu else 'cpu', {})
    row = {
        'model': args.model,
        **measured(watch),
        'waiting_for_data_s': runner.message_hub.get_scalar('train/data_time').mean(block * rounds),
    }
    tell({**how, **row})
    if args.json:
        from mmseg_uvpt.files import write_json

        write_json(args.json, {**how, 'rows': [row]})


if __name__ == '__main__':
    main()
