"""Makes the witnesses of a version: what it wrote, which every later version must read alike.

    python tests/witnesses/make.py tests/witnesses/v0.1

It goes through the scripts, as a user does, with micro-models of some 40,000 parameters on frames
of 64 x 32. ``v0.1`` was made by revision d6bbf75 and is never made again. In the folder lie, of
Swin and MiT each, a work folder of a finished pretraining, one of an adaptation that was stopped in
the middle, and exported files; besides the data, the pseudo labels and the scores. The exported
files are of the same adaptation, never stopped: what the stopped one reaches when it goes on.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BACKBONES = ('swin', 'mit')
TRAIN = ('aachen/aachen_0', 'aachen/aachen_1', 'ulm/ulm_0', 'ulm/ulm_1')
VAL = ('bonn/bonn_0', 'bonn/bonn_1')
SOURCE_ITERATIONS, ITERATIONS, STOP_AT = 60, 24, 13
SCORES = 'mIoU19', 'mIoU16', 'mIoU13', 'aAcc', 'intersection', 'union'
SEEN = 64, 32  # width and height of frames

STAGED = {
    'swin': "type='StagedSwin', embed_dims=4, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4), "
    'window_size=4, drop_path_rate=0.1',
    'mit': "type='StagedMiT', widths=(4, 8, 12, 16), depths=(1, 1, 1, 1), "
    'num_heads=(1, 2, 3, 4), reductions=(8, 4, 2, 1), mlp_ratio=2, drop_path_rate=0.1',
}
WIDTHS = {'swin': (4, 8, 16, 32), 'mit': (4, 8, 12, 16)}

COMMON = f"""
evaluation = dict(num_workers=0, persistent_workers=False, dataset=dict(
    pipeline=[*load, dict(type='LoadLabelChecked'), dict(type='PackSegInputs')]))
val_dataloader = evaluation
test_dataloader = evaluation
target_train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(
    pipeline=[*load, dict(type='PackSegInputs')]))
tta_pipeline = [dict(type='LoadImageChecked'), dict(type='TestTimeAug', transforms=[
    [dict(type='Resize', scale={SEEN}), dict(type='Resize', scale=(96, 48))],
    [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
    [dict(type='LoadLabelChecked')], [dict(type='PackSegInputs')]])]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
SOURCE = """
_base_ = [{base!r} + name for name in (
    'models/swin-nano_source.py', 'datasets/gta.py', 'datasets/cityscapes.py',
    'schedules/pretrain_400k.py')]
load = [dict(type='LoadImageChecked'), dict(type='Resize', scale={seen}, keep_ratio=True)]
model = dict(
    backbone=dict(_delete_=True, {staged}), decode_head=dict(in_channels={widths}, channels=8))
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=5, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end={iterations}, by_epoch=False)]
train_cfg = dict(max_iters={iterations}, val_interval={iterations})
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(
    interval={iterations}))
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=[
    dict(type='LoadImageChecked'), dict(type='LoadLabelChecked'),
    dict(type='Resize', scale=(96, 48), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')]))
"""
ADAPTATION = """
_base_ = [{base!r} + name for name in (
    'models/swin-nano_uni-uvpt.py', 'datasets/cityscapes_adaptation.py', 'schedules/adapt_80k.py')]
load = [dict(type='LoadImageChecked'), dict(type='Resize', scale={seen}, keep_ratio=True)]
model = dict(
    source_checkpoint='source-{name}/iter_{source_iterations}.pth',
    backbone=dict(staged=dict(_delete_=True, {staged}), heads=2, generator_channels=4,
        add_level_embedding={level}),
    decode_head=dict(in_channels={widths}, channels=8))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [dict(
    type='CosineAnnealingLR', eta_min_ratio=1e-5, begin=0, end={iterations}, by_epoch=False)]
train_cfg = dict(max_iters={iterations}, val_interval={iterations})
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(
    interval=6, max_keep_ckpts=1), label_correction=dict(
    pseudo_label_dir='data/cityscapes/pretrain/{name}/train', interval=2, queue_length=3,
    slope=0.3))
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=[
    *load, dict(type='CropWithBox', crop_size=(32, 32)), dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'), *_base_.train_dataloader.dataset.pipeline[-1:]]))
"""


def main(out: Path) -> None:
    """Make all witnesses in ``out``, which must not exist."""
    out.mkdir(parents=True)
    os.chdir(out)  # what is recorded names files relative to here
    data()
    results = {}
    for name in BACKBONES:
        write_recipes(name)
        source, work = f'source-{name}/iter_{SOURCE_ITERATIONS}.pth', f'adapted-{name}'
        labels = f'data/cityscapes/pretrain/{name}/train'
        run('pretrain.py', f'source-{name}.py', '--work-dir', f'source-{name}')
        run('generate_pseudo_label.py', '--config', f'source-{name}.py', '--checkpoint', source,
            '--pseudo_label_dir', labels)  # fmt: skip
        run('train.py', f'adapted-{name}.py', '--work-dir', 'whole')
        run('train.py', f'adapted-{name}.py', '--work-dir', work, stop=Path(work))
        final = f'whole/iter_{ITERATIONS}.pth'
        exported = f'exported-{name}'
        Path(exported).mkdir()
        run('tools/export_checkpoint.py', 'strip', final, f'{exported}/adapted.safetensors')
        run('tools/export_checkpoint.py', 'split', final, source,
            f'{exported}/prompts.safetensors')  # fmt: skip
        run('tools/export_checkpoint.py', 'strip', final, f'{exported}/adapted.pth')
        for key, (config, checkpoint, *options) in scored(name, final).items():
            run(
                'test.py',
                config,
                checkpoint,
                '--work-dir',
                'test',
                '--out',
                f'{key}.json',
                *options,
            )
            found = json.loads(Path(f'{key}.json').read_text())
            results[key] = {score: found[score] for score in SCORES}
            Path(f'{key}.json').unlink()
        shutil.rmtree('whole')
        shutil.rmtree('test')
        for folder in (f'source-{name}', work):  # what no later version reads
            unread = ('2*', 'best_*', 'environment.json', '*.lock')
            for path in (p for pattern in unread for p in Path(folder).glob(pattern)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for recipe in (f'source-{name}.py', f'adapted-{name}.py'):
            Path(recipe).unlink()
    Path('expected.json').write_text(json.dumps(results, indent=1) + '\n')


def scored(name: str, adapted: str) -> dict[str, tuple[str, ...]]:
    """Return what is scored: by its key, config, checkpoint and options of ``test.py``."""
    source = f'source-{name}/config.py', f'source-{name}/iter_{SOURCE_ITERATIONS}.pth'
    final = f'adapted-{name}/config.py', adapted
    return {
        f'source-{name}': source,
        f'adapted-{name}': final,
        f'adapted-{name}-flipped': (*final, '--aug-test'),
    }


def run(script: str, *arguments: str, stop: Path | None = None) -> None:
    """Run a script on the data here; where ``stop`` is given, tell it to stop in the middle."""
    here = [] if script.startswith('tools/') else ['--data-root', 'data']
    command = [sys.executable, str(ROOT / script), *arguments, *here]
    process = subprocess.Popen(command, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    while stop and process.poll() is None and _reached(stop) < STOP_AT:
        time.sleep(0.005)
    if stop:
        process.send_signal(signal.SIGTERM)
    status = process.wait()
    if status != (75 if stop else 0):
        sys.exit(f'{script} ended with {status}')


def _reached(folder: Path) -> int:
    """Return the iteration that a training's log has reached."""
    lines = [line for log in folder.glob('2*/vis_data/scalars.json') for line in log.open()]
    return max(
        (json.loads(line).get('step', 0) for line in lines if line.endswith('\n')), default=0
    )


def write_recipes(name: str) -> None:
    """Write the recipes of a backbone; work folders keep what they resolve to."""
    values = {
        'base': f'{ROOT}/configs/_base_/',
        'name': name,
        'seen': SEEN,
        'staged': STAGED[name],
        'widths': WIDTHS[name],
        'level': name == 'swin',
        'source_iterations': SOURCE_ITERATIONS,
    }
    for kind, text, iterations in (
        ('source', SOURCE, SOURCE_ITERATIONS),
        ('adapted', ADAPTATION, ITERATIONS),
    ):
        path = Path(f'{kind}-{name}.py')
        path.write_text(text.format(**values, iterations=iterations) + COMMON)


def data() -> None:
    """Write frames of coloured blocks and their labels; of the target train split no labels."""
    gta, target = Path('data/gta'), Path('data/cityscapes')
    for i in range(4):
        frame(gta / f'images/{i:05d}.png', gta / f'labels/{i:05d}_labelTrainIds.png', i)
    for i, name in enumerate(TRAIN):
        frame(target / f'leftImg8bit/train/{name}_leftImg8bit.png', None, 10 + i)
    for i, name in enumerate(VAL):
        label = target / f'gtFine/val/{name}_gtFine_labelTrainIds.png'
        frame(target / f'leftImg8bit/val/{name}_leftImg8bit.png', label, 20 + i)


def frame(image: Path, label: Path | None, seed: int) -> None:
    """Write blocks of the classes' colours, a little disturbed, and their classes if asked for."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 19, (2, 4)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    colours = np.random.default_rng(99).integers(0, 255, (19, 3))
    noise = random.integers(-20, 20, (*classes.shape, 3))
    pixels = np.clip(colours[classes] + noise, 0, 255).astype(np.uint8)
    for path, values in ((image, pixels), (label, classes)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), values)


if __name__ == '__main__':
    main(Path(sys.argv[1]).resolve())
