"""The losses of thirty iterations of each kind of recipe, with micro-models on tiny frames.

    python tests/engine/golden_curves.py

writes ``golden_curves.json`` beside it; `test_golden_curves.py` compares with that. Recipes are
those of ``configs``, run by the scripts. The options below change sizes, learning rates and
lengths, so that something happens within thirty iterations, and turn dropout off, whose random
numbers differ between builds of torch. Snow, frost and cartoon, which need an optional package, are
left out.
"""

import argparse
import json
import tempfile
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import torch
from mmseg.registry import MODELS

from mmseg_uvpt.augmentation.adain import decoder, encoder
from mmseg_uvpt.augmentation.style_randomisation import StylePredictor, StyleTransfer
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.scripts import pretrain, train
from mmseg_uvpt.files import write_png

CURVES = Path(__file__).with_suffix('.json')
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ITERATIONS = 30
TRAIN = [f'aachen/aachen_{i}' for i in range(6)]

COMMON = [
    'model.decode_head.in_channels=(8,16,32,64)',
    'model.decode_head.channels=8',
    'model.decode_head.dropout_ratio=0.0',
    'train_dataloader.num_workers=0',
]
SWIN = ['embed_dims=8', 'depths=(1,1,1,1)', 'num_heads=(1,1,2,2)']
PRETRAINING = [
    *COMMON,
    *(f'model.backbone.{option}' for option in SWIN),
    'model.backbone.init_cfg=None',
    'optim_wrapper.optimizer.lr=3e-4',
]
CROP = 'train_dataloader.dataset.pipeline.3.crop_size'
SCALE = 'train_dataloader.dataset.pipeline.2.scale'
STANDARD = [*PRETRAINING, f'{SCALE}=(96,54)', f'{CROP}=(48,48)', 'param_scheduler.0.end=10']
GENERALISING = [
    *PRETRAINING,
    f'{SCALE}=(160,90)',
    f'{CROP}=(80,80)',  # the style predictor takes no smaller ones
    'train_dataloader.collate_fn.augmentations=[adain,style_randomisation,fda_random,fda_style]',
    'model.data_preprocessor.fda_beta=0.05',
]
ADAPTATION = [
    *COMMON,
    'uvpt.report=False',
    *(f'model.backbone.{option}' for option in SWIN),
    'optim_wrapper.optimizer.lr=3e-5',
    'model.tuner.heads=2',
    'model.tuner.generator_channels=8',
    f'{SCALE}=(64,32)',
    f'{CROP}=(32,32)',
    'default_hooks.label_correction.interval=2',
    'default_hooks.label_correction.queue_length=4',
    'default_hooks.label_correction.slope=0.0',
    'default_hooks.selection.images=2',
    'target_train_dataloader.dataset.pipeline.1.scale=(64,32)',
]


def main() -> None:
    """Write the curves of this revision."""
    with tempfile.TemporaryDirectory() as folder:
        found = curves(Path(folder))
    text = json.dumps(found, indent=1)
    CURVES.write_text(f'{text}\n')


def curves(folder: Path, iterations: int = ITERATIONS) -> dict[str, dict[str, list[float]]]:
    """Train in an empty folder; return each recipe's losses by name, a number an iteration.

    Rates fall as in a training of ``ITERATIONS``, so that fewer are its first.
    """
    data = folder / 'data'
    write_data(data)
    standard, generalising = (f'pretrain/{kind}_swin-b_gta5' for kind in ('sss', 'source-gta'))
    length = [
        f'train_cfg.max_iters={iterations}',
        f'default_hooks.checkpoint.interval={iterations}',
    ]
    poly = [*length, f'param_scheduler.PolyLR.end={ITERATIONS}']
    runs = {'sss': run(pretrain.main, standard, folder / 'sss', data, [*STANDARD, *poly])}
    options = [*GENERALISING, *poly, f'train_dataloader.collate_fn.style_dir={data / "style"}']
    options += write_networks(data)
    with patch('mmseg_uvpt.augmentation.style_images.SIDE', 80):
        work = folder / 'source-gta'
        runs['source-gta'] = run(pretrain.main, generalising, work, data, options)
    files = ['--source-checkpoint', str(write_source(data, standard))]
    files += ['--pseudo-label-dir', str(data / 'pseudo'), '--foreign-labels']
    recipe = 'uni_uvpt/sss_swin-b_gta5-to-cityscapes'
    options = [*ADAPTATION, *length, f'param_scheduler.CosineAnnealingLR.end={ITERATIONS}']
    runs['adaptation'] = run(train.main, recipe, folder / 'adaptation', data, options, files)
    return runs


def run(script, recipe: str, work: Path, data: Path, options: list[str], files=()) -> dict:
    """Run a script; return the losses that its checkpoint has noted."""
    places = ['--work-dir', str(work), '--data-root', str(data), *files, '--no-validate']
    script([str(CONFIGS / f'{recipe}.py'), *places, '--cfg-options', *options])
    state = torch.load(next(work.glob('iter_*.pth')), weights_only=True)
    scalars = state['message_hub']['log_scalars']
    return {
        name.removeprefix('train/'): [float(f'{value:.7g}') for value in values.tolist()]
        for name, (values, _) in scalars.items()
        if 'loss' in name
    }


def write_data(data: Path) -> None:
    """Write frames of the source with labels, frames of the target with pseudo labels, and styles.

    A third of the classes is rare, so that crops are drawn again, and a tenth of the labels is 255.
    """
    random = np.random.default_rng(0)
    colours = random.integers(0, 256, (256, 3)).astype(np.uint8)
    for i in range(4):
        classes = blocks(random, (108, 192))
        write_png(data / f'gta/images/{i:05d}.png', noisy(random, colours[classes]))
        write_png(data / f'gta/labels/{i:05d}_labelTrainIds.png', classes)
    for name in TRAIN:
        classes = blocks(random, (64, 128))
        image = data / f'cityscapes/leftImg8bit/train/{name}_leftImg8bit.png'
        write_png(image, noisy(random, colours[classes]))
        write_png(data / f'pseudo/{name}_gtFine_labelTrainIds.png', classes)
    for i in range(3):
        style = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        write_png(data / f'style/{i}.png', cv2.resize(style, (120, 90)))


def blocks(random: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a label of blocks: to the left nearly all of class 0, to the right of all classes."""
    height, width = size
    label = random.choice([*range(19), 255], (8, 16), p=[*[0.9 / 19] * 19, 0.1]).astype(np.uint8)
    label[:, :8] = np.where(random.random((8, 8)) < 0.9, 0, label[:, :8])
    return cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST)


def noisy(random: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Return an image with noise, uint8."""
    return (image + random.integers(-20, 21, image.shape)).clip(0, 255).astype(np.uint8)


def write_networks(data: Path) -> list[str]:
    """Write weights of the augmenting networks, at random; return the options that name them."""
    torch.manual_seed(0)
    contents = {
        'adain_encoder': encoder().state_dict(),
        'adain_decoder': decoder().state_dict(),
        'style_transfer': {'state_dict_ghiasi': StyleTransfer().state_dict()},
        'style_predictor': {'state_dict_stylepredictor': StylePredictor().state_dict()},
        'style_embeddings': {
            'pbn_embedding_mean': torch.zeros(100),
            'pbn_embedding_covariance': torch.eye(100),
        },
    }
    for name, tensors in contents.items():
        torch.save(tensors, data / f'{name}.pth')
    names = 'model.data_preprocessor.weights'
    return [f'{names}.{name}={data / name}.pth' for name in contents]


def write_source(data: Path, recipe: str) -> Path:
    """Write a source model with random weights that is sure of what it predicts."""
    config = CONFIGS / f'{recipe}.py'
    options = argparse.Namespace(config=config, cfg_options=PRETRAINING, data_root=str(data))
    torch.manual_seed(0)
    model = MODELS.build(resolve(options).model)
    model.init_weights()
    model.decode_head.conv_seg.weight.data *= 2000
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, data / 'source.pth')
    return data / 'source.pth'


if __name__ == '__main__':
    main()
