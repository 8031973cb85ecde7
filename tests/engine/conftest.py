"""A tiny data root and tiny recipes: 128 x 64 frames, nano models, a handful of iterations."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import mmseg_uvpt.register
from mmseg_uvpt.engine.scripts import pretrain

BASES = Path(__file__).resolve().parents[2] / 'configs/_base_'
SWIN = 'embed_dims=16, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8)'
HEAD = 'in_channels=(16, 32, 64, 128), channels=16'
TRAIN = ('aachen/aachen_0', 'aachen/aachen_1', 'ulm/ulm_0')
VAL = ('bonn/bonn_0', 'bonn/bonn_1')

COMMON = """
_base_ = [{bases}]
uvpt = dict(report=False)  # tests/report has those that are written
train_cfg = dict(max_iters=4, val_interval=2)
hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
load = [dict(type='LoadImageChecked'), dict(type='Resize', scale=(64, 32), keep_ratio=True)]
evaluation = dict(num_workers=0, persistent_workers=False, dataset=dict(
    pipeline=[*load, dict(type='LoadLabelChecked'), dict(type='PackSegInputs')]))
val_dataloader = evaluation
test_dataloader = evaluation
target_train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(
    pipeline=[*load, dict(type='PackSegInputs')]))
tta_pipeline = [dict(type='LoadImageChecked'), dict(type='TestTimeAug', transforms=[
    [dict(type='Resize', scale=(64, 32)), dict(type='Resize', scale=(96, 48))],
    [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
    [dict(type='LoadLabelChecked')], [dict(type='PackSegInputs')]])]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""
SOURCE = f"""
model = dict(backbone=dict({SWIN}), decode_head=dict({HEAD}))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = hooks
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=[
    dict(type='LoadImageChecked'), dict(type='LoadLabelChecked'),
    dict(type='Resize', scale=(96, 48), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5), dict(type='PackSegInputs')]))
"""
ADAPTATION = f"""
model = dict(
    view_scales=(1.0, 0.5),  # of three, the largest takes most of the time
    backbone=dict({SWIN}), tuner=dict(heads=4, generator_channels=8), decode_head=dict({HEAD}))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(**hooks, label_correction=dict(
    pseudo_label_dir='data/cityscapes/pretrain/tiny/train', interval=2, queue_length=2,
    foreign_labels=True), selection=None)  # most tests write them by hand
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=[
    load[0], dict(type='LoadPseudoLabel'), load[1],
    dict(type='CropWithBox', crop_size=(32, 32), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=(
        'img_path', 'ori_shape', 'img_shape', 'pad_shape', 'scale_factor', 'flip',
        'flip_direction', 'crop_box', 'frame_shape', 'sample_idx'))]))
"""


def write_frame(image: Path, label: Path | None, seed: int) -> None:
    """Write blocks of random colour, and their classes where a label is asked for."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 19, (4, 8)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    colours = random.integers(0, 255, (19, 3)).astype(np.uint8)
    for path, pixels in ((image, colours[classes]), (label, classes)):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)


@pytest.fixture(scope='session', autouse=True)
def no_waiting():
    """Spare what takes long in a run of a second.

    The wait for workers that failed (5 s), and the two collections of garbage that mmengine asks
    for when it makes data sets.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.dataset.base_dataset.gc', SimpleNamespace(collect=int))
        patch.setattr('torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL', 0.1)
        yield


@pytest.fixture(scope='session')
def miniature(tmp_path_factory) -> Path:
    """Folder of the data root and the recipes. Cityscapes train has no labels."""
    folder = tmp_path_factory.mktemp('miniature')
    gta, target = folder / 'data/gta', folder / 'data/cityscapes'
    for i in range(3):
        label = gta / f'labels/{i:05d}_labelTrainIds.png'
        write_frame(gta / f'images/{i:05d}.png', label, i)
    for i, name in enumerate(TRAIN):
        write_frame(target / f'leftImg8bit/train/{name}_leftImg8bit.png', None, 10 + i)
    for i, name in enumerate(VAL):
        label = target / f'gtFine/val/{name}_gtFine_labelTrainIds.png'
        write_frame(target / f'leftImg8bit/val/{name}_leftImg8bit.png', label, 20 + i)
    pretraining = ('models/swin-nano_source.py', 'datasets/gta.py', 'datasets/cityscapes.py')
    _recipe(folder / 'tiny.py', (*pretraining, 'schedules/pretrain_400k.py'), SOURCE)
    adaptation = ('models/swin-nano_uni-uvpt.py', 'datasets/cityscapes_adaptation.py')
    _recipe(folder / 'tiny-adapted.py', (*adaptation, 'schedules/adapt_80k.py'), ADAPTATION)
    return folder


@pytest.fixture(scope='session')
def judged_config(miniature) -> Path:
    """An adaptation of four iterations that selects among its candidates, as the recipes do."""
    path = miniature / 'tiny-judged.py'
    selection = "dict(_delete_=True, type='SelectionHook', select='target labels', images=2)"
    path.write_text(f"_base_ = 'tiny-adapted.py'\ndefault_hooks = dict(selection={selection})\n")
    return path


def _recipe(path: Path, files: tuple[str, ...], text: str) -> None:
    bases = ', '.join(repr(str(BASES / file)) for file in files)
    path.write_text(COMMON.format(bases=bases) + text)


@pytest.fixture
def data_root(miniature, tmp_path) -> Path:
    """A data root of the test's own."""
    return shutil.copytree(miniature / 'data', tmp_path / 'data')


@pytest.fixture
def pseudo_labels(data_root):
    """Pseudo labels of one class."""
    labels = data_root / 'cityscapes/pretrain/tiny/train'
    for frame in (data_root / 'cityscapes/leftImg8bit/train').rglob('*.png'):
        name = frame.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        path = labels / frame.parent.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((64, 128), 3, np.uint8))


@pytest.fixture(scope='session')
def source_config(miniature) -> Path:
    """A source pretraining of four iterations."""
    return miniature / 'tiny.py'


@pytest.fixture(scope='session')
def adaptation_config(miniature) -> Path:
    """An adaptation of four iterations."""
    return miniature / 'tiny-adapted.py'


@pytest.fixture(scope='session')
def finished(miniature, source_config) -> Path:
    """Work folder of a finished pretraining on ``miniature/data``, seed 0; not to be changed."""
    folder = miniature / 'finished'
    arguments = ['--work-dir', str(folder), '--data-root', str(miniature / 'data')]
    pretrain.main([str(source_config), *arguments])
    return folder


@pytest.fixture(scope='module')
def model(finished):
    """The model of the finished pretraining."""
    return mmseg_uvpt.load(finished / 'config.py', finished / 'iter_4.pth')


@pytest.fixture
def run(tmp_path, source_config, miniature):
    """Start a pretraining in one work folder; return the folder."""
    folder = tmp_path / 'run'

    def start(*options: str):
        data = ['--data-root', str(miniature / 'data')]
        pretrain.main([str(source_config), '--work-dir', str(folder), *data, *options])
        return folder

    return start
