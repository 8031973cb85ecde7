"""A tiny target data set with pseudo labels, and training runs on it with a model that guesses."""

from collections import namedtuple
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, HOOKS, MODELS
from PIL import Image

import mmseg_uvpt.correction.hook
import mmseg_uvpt.register  # noqa: F401

CLASSES = ('road', 'car', 'sky', 'tree')
CROP = 32
# height, width; after Resize(scale=(64, 48)): one is smaller than the crop, one is exact
FRAME_SIZES = {
    'a/one': (48, 64),
    'a/two': (96, 128),
    'b/three': (40, 128),
    'b/four': (60, 50),
    'b/five': (24, 90),
}

Prediction = namedtuple('Prediction', ['label', 'confidence'])


@DATASETS.register_module()
class TinyTarget(BaseSegDataset):
    METAINFO: ClassVar = {'classes': CLASSES, 'palette': [[i, i, i] for i in range(len(CLASSES))]}


@HOOKS.register_module()
class SeedEachIteration(Hook):
    """Crops and flips depend on the iteration only, so that a resumed run repeats them."""

    def before_train(self, runner: Runner) -> None:
        np.random.seed(runner.iter)  # noqa: NPY002

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        np.random.seed(runner.iter + 1)  # noqa: NPY002


@MODELS.register_module()
class Guesser(BaseModel):
    """Predicts noise that depends on its own count of iterations; notes all it gets and gives.

    Its predictions are padded to the size of a full crop.
    """

    def __init__(self) -> None:
        super().__init__(MODELS.build({'type': 'mmseg.SegDataPreProcessor', 'size': (CROP, CROP)}))
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.register_buffer('count', torch.zeros(1, dtype=torch.long))
        self.seen = []

    def forward(self, inputs, data_samples, mode):
        rng = np.random.default_rng(int(self.count))
        self.count += 1
        shape = (len(inputs), CROP, CROP)
        # blocks, so that classes are missing in some crops
        label = np.kron(rng.integers(0, 4, (len(inputs), 4, 4)), np.ones((1, 8, 8)))
        confidence = rng.uniform(0.3, 1, shape).astype(np.float32)
        self.last_prediction = Prediction(
            torch.from_numpy(label.astype(np.uint8)), torch.from_numpy(confidence)
        )
        self.seen.append(
            [
                (sample.metainfo, sample.gt_sem_seg.data[0].numpy().copy(), label[i], confidence[i])
                for i, sample in enumerate(data_samples)
            ]
        )
        return {'loss': (self.weight - 1).square().sum()}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Folder with ``images``, ``pseudo`` (values 0..3 and 255) and ``truth`` (1..3 and 255)."""
    rng = np.random.default_rng(0)
    for name, (height, width) in FRAME_SIZES.items():
        image = tmp_path / 'images' / f'{name}_leftImg8bit.png'
        label = tmp_path / 'pseudo' / f'{name}_gtFine_labelTrainIds.png'
        image.parent.mkdir(parents=True, exist_ok=True)
        label.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(image)
        blocks = rng.choice(
            np.array([0, 1, 2, 3, 255], np.uint8), (-(-height // 8), -(-width // 8))
        )
        Image.fromarray(np.kron(blocks, np.ones((8, 8), np.uint8))[:height, :width]).save(label)
        truth = tmp_path / 'truth' / f'{name}_gtFine_labelTrainIds.png'
        truth.parent.mkdir(parents=True, exist_ok=True)
        classes = np.random.default_rng(height).choice([1, 2, 3, 255], (height, width))
        Image.fromarray(classes.astype(np.uint8)).save(truth)
    return tmp_path


@pytest.fixture
def make_runner(target: Path):
    """Build a runner on the tiny target set; keyword arguments change the hook or the run."""

    def make(work_dir: str, max_iters: int, resume: bool = False, **hook: object) -> Runner:
        meta_keys = ('img_path', 'flip', 'flip_direction', 'crop_box', 'frame_shape', 'sample_idx')
        dataset = {
            'type': 'TinyTarget',
            'img_suffix': '_leftImg8bit.png',
            'seg_map_suffix': '_gtFine_labelTrainIds.png',
            'data_prefix': {'img_path': str(target / 'images')},
            'pipeline': [
                {'type': 'LoadImageFromFile'},
                {'type': 'Resize', 'scale': (64, 48), 'keep_ratio': True},
                {'type': 'CropWithBox', 'crop_size': (CROP, CROP)},
                {'type': 'RandomFlip', 'prob': 0.5},
                {'type': 'PackSegInputs', 'meta_keys': meta_keys},
            ],
        }
        settings = {
            'pseudo_label_dir': str(target / 'pseudo'),
            'num_classes': len(CLASSES),
            'interval': 2,
            'queue_length': 3,
            'slope': 0.0,  # a class starts as soon as its curve flattens at all
            'quantile': 0.6,
        }
        return Runner.from_cfg(
            Config(
                {
                    'default_scope': 'mmseg',
                    'model': {'type': 'Guesser'},
                    'work_dir': str(target / work_dir),
                    'train_dataloader': {
                        'batch_size': 2,
                        'num_workers': 0,
                        'sampler': {'type': 'InfiniteSampler', 'shuffle': True, 'seed': 0},
                        'dataset': dataset,
                    },
                    'train_cfg': {
                        'type': 'IterBasedTrainLoop',
                        'max_iters': max_iters,
                        'val_interval': 7,
                    },
                    'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.1}},
                    'default_hooks': {
                        'checkpoint': {
                            'type': 'WholeCheckpointHook',
                            'interval': 16,
                            'by_epoch': False,
                        },
                        'logger': {'type': 'LoggerHook', 'interval': 100},
                    },
                    'custom_hooks': [
                        {'type': 'SeedEachIteration'},
                        {'type': 'LabelCorrectionHook', **settings, **hook},
                    ],
                    'log_processor': {'by_epoch': False},
                    'log_level': 'WARNING',
                    'randomness': {'seed': 0},
                    'experiment_name': f'{target.name}_{work_dir}_{max_iters}_{resume}',
                    'resume': resume,
                }
            )
        )

    return make
