"""The whole chain on real frames with nano models, its results checked against the raw files.

Two GTA frames, one of SYNTHIA, four of Cityscapes train and three of val; see
``../shared/samples``. The frames are read here by Pillow and the ids translated by hand.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import init_model
from mmseg.datasets import CityscapesDataset
from PIL import Image
from raw_labels import classes_of_synthia

from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train

REPOSITORY = Path(__file__).resolve().parents[1]
CITYSCAPES = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
SYNTHIA = [3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11]
# tests/tools/test_convert_datasets.py converts these frames, too, and is quick
pytestmark = pytest.mark.slow
SOURCE = 'configs/demo/pretrain_swin-nano.py'
ADAPTED = 'configs/demo/uni-uvpt_swin-nano.py'
ITERATIONS = 14
IN_PROCESS = ['num_workers=0', 'persistent_workers=False']
QUICK = [f'{part}_dataloader.{o}' for part in ('val', 'test') for o in IN_PROCESS]
TRAINING = [*QUICK, *(f'train_dataloader.{o}' for o in IN_PROCESS), 'train_dataloader.batch_size=1']


def train_ids(raw: np.ndarray, ids: list[int]) -> np.ndarray:
    """Translate raw ids one class at a time."""
    result = np.full(raw.shape, 255, np.uint8)
    for train_id, raw_id in enumerate(ids):
        result[raw == raw_id] = train_id
    return result


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


@pytest.fixture(scope='module')
def root(shared_samples, tmp_path_factory) -> Path:
    """A data root with the real frames, converted by the tools."""
    root = tmp_path_factory.mktemp('real')
    shutil.copytree(shared_samples, root, dirs_exist_ok=True, copy_function=shutil.copyfile)
    for folder, _, _ in os.walk(root):
        os.chmod(folder, 0o755)  # the samples are read-only
    for name in ('gta', 'synthia', 'cityscapes'):
        tool = REPOSITORY / f'tools/convert_datasets/{name}.py'
        subprocess.run([sys.executable, tool, root / name, '--nproc', '2'], check=True)
    return root


@pytest.fixture(scope='module')
def source(root) -> Path:
    """Checkpoint of some iterations on the two GTA frames."""
    folder = root / 'runs/source'
    _pretrain(root, folder)
    return folder / 'iter_4.pth'


def _pretrain(root: Path, folder: Path, *changes: str) -> None:
    options = [*TRAINING, 'train_cfg.max_iters=4', 'train_cfg.val_interval=4', *changes]
    options += ['default_hooks.checkpoint.interval=4']
    pretrain.main([SOURCE, *_common(root, folder), '--cfg-options', *options])


def _common(root: Path, folder: Path) -> list[str]:
    return ['--data-root', str(root), '--work-dir', str(folder)]


@pytest.fixture(scope='module')
def pseudo_labels(root, source) -> Path:
    folder = root / 'cityscapes/pretrain/real/train'
    generate_pseudo_label.main(
        [
            '--config',
            ADAPTED,
            '--checkpoint',
            str(source),
            '--data-root',
            str(root),
            '--pseudo_label_dir',
            str(folder),
            '--cfg-options',
            'target_train_dataloader.num_workers=0',
        ]
    )
    return folder


@pytest.fixture(scope='module')
def adapted(root, source, pseudo_labels) -> Path:
    """Work folder of an adaptation in which the correction acts: epochs of four iterations."""
    folder = root / 'runs/adapted'
    correction = {'interval': 2, 'queue_length': 4, 'slope': 0.0, 'quantile': 0.3}
    options = [f'default_hooks.label_correction.{k}={v}' for k, v in correction.items()]
    options += [f'train_cfg.max_iters={ITERATIONS}', f'train_cfg.val_interval={ITERATIONS}']
    options += [
        f'default_hooks.checkpoint.interval={ITERATIONS}',
        'optim_wrapper.optimizer.lr=0.002',
    ]
    train.main(
        [
            ADAPTED,
            '--source-checkpoint',
            str(source),
            '--pseudo-label-dir',
            str(pseudo_labels),
            *_common(root, folder),
            '--cfg-options',
            *TRAINING,
            *options,
        ]
    )
    return folder


def test_converted_labels_agree_with_the_raw_files(root):
    expected = {
        **{
            path.with_name(f'{path.stem}_labelTrainIds.png'): train_ids(read(path), CITYSCAPES)
            for path in (root / 'gta/labels').glob('?????.png')
        },
        **{
            path.with_name(f'{path.stem}_labelTrainIds.png'): train_ids(
                classes_of_synthia(path), SYNTHIA
            )
            for path in (root / 'synthia/GT/LABELS').glob('???????.png')
        },
        **{
            path.with_name(path.name.replace('labelIds', 'labelTrainIds')): train_ids(
                read(path), CITYSCAPES
            )
            for path in (root / 'cityscapes/gtFine').rglob('*_labelIds.png')
        },
    }
    assert len(expected) == 2 + 1 + 7
    for path, label in expected.items():
        assert np.array_equal(read(path), label), path
        assert (label != 255).any()


def test_pretraining_on_gta(source):
    state = torch.load(source, weights_only=True)['state_dict']
    assert all(torch.isfinite(t).all() for t in state.values() if t.is_floating_point())
    # each iteration of training passes each batch norm once, validation none
    assert {int(t) for name, t in state.items() if name.endswith('num_batches_tracked')} == {4}
    assert all(0 < row['loss'] < 20 for row in _log(source.parent) if 'loss' in row)


def test_pretraining_on_synthia(root):
    folder = root / 'runs/synthia'
    _pretrain(
        root,
        folder,
        'train_dataloader.dataset.type=SynthiaDataset',
        f'train_dataloader.dataset.data_root={root}/synthia',
        'train_dataloader.dataset.data_prefix.img_path=RGB',
        'train_dataloader.dataset.data_prefix.seg_map_path=GT/LABELS',
    )
    losses = [row['loss'] for row in _log(folder) if 'loss' in row]
    assert losses
    assert all(0 < loss < 20 for loss in losses)
    assert (folder / 'iter_4.pth').is_file()


def _log(folder: Path) -> list[dict]:
    path = next(folder.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pseudo_labels_are_the_models_own_argmax(root, source, pseudo_labels):
    config = Config.fromfile(REPOSITORY / SOURCE)
    model = init_model(config, str(source), device='cpu')
    images = sorted((root / 'cityscapes/leftImg8bit/train').rglob('*.png'))
    assert len(images) == 4
    normalisation = config.model.data_preprocessor
    mean, std = (torch.tensor(normalisation[k]).view(3, 1, 1) for k in ('mean', 'std'))
    for path in images:
        small = cv2.resize(cv2.imread(str(path)), (320, 160), interpolation=cv2.INTER_LINEAR)
        image = torch.from_numpy(small[..., ::-1].copy()).permute(2, 0, 1).float()
        with torch.no_grad():
            logits = model.decode_head(model.backbone(((image - mean) / std)[None]))
        for size in ((160, 320), (1024, 2048)):  # of the network, then of the image
            logits = torch.nn.functional.interpolate(logits, size=size, mode='bilinear')
        expected = logits.argmax(1)[0].numpy()
        name = path.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        written = read(pseudo_labels / path.parent.name / name)
        assert written.shape == (1024, 2048)
        assert (written != expected).mean() < 1e-5  # logits may tie in the last bit


def test_the_bank_agrees_with_the_log(root, pseudo_labels, adapted):
    with (adapted / 'label_correction.csv').open(newline='') as file:
        events = list(csv.DictReader(file))
    logged: dict[str, int] = {}
    for row in events:
        logged[row['class']] = logged.get(row['class'], 0) + int(row['pixels_changed'])
    assert sum(logged.values()) > 0, 'the correction did not act'
    started = {row['class'] for row in events if row['event'] in ('start', 'restart')}
    assert {name for name, pixels in logged.items() if pixels} <= started

    names = _classes()
    bank = np.fromfile(next((adapted / 'label_bank').glob('labels*')), np.uint8)
    begun = np.concatenate([_bank_frame(p).ravel() for p in _in_order(root, pseudo_labels)])
    end = bank[: begun.size]
    assert end.max() <= 18
    became = np.bincount(end[end != begun], minlength=19)
    assert became.sum() > 0
    for train_id, pixels in enumerate(became):
        # a pixel that changed twice was logged twice
        assert pixels <= logged.get(names[train_id], 0), names[train_id]
    for row in _log(adapted):
        if 'loss' in row:
            assert np.isfinite(row['loss'])


def _classes() -> tuple[str, ...]:
    return CityscapesDataset.METAINFO['classes']


def _in_order(root: Path, pseudo_labels: Path) -> list[Path]:
    images = sorted((root / 'cityscapes/leftImg8bit/train').rglob('*.png'))
    return [
        pseudo_labels / p.parent.name / p.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        for p in images
    ]


def _bank_frame(path: Path) -> np.ndarray:
    """Resize a pseudo label as OpenCV's nearest does: index floor(i * 6.4)."""
    label = read(path)
    rows, columns = ((np.arange(n) * 6.4).astype(int) for n in (160, 320))
    return label[np.ix_(rows, columns)]


def test_the_score_agrees_with_a_direct_count(root, adapted):
    shown, out = root / 'shown', root / 'score.json'
    test.main(
        [
            ADAPTED,
            str(adapted / f'iter_{ITERATIONS}.pth'),
            '--eval',
            'mIoU',
            *_common(root, root / 'runs/test'),
            '--show-dir',
            str(shown),
            '--out',
            str(out),
            '--cfg-options',
            *QUICK,
        ]
    )
    palette = {tuple(c): i for i, c in enumerate(CityscapesDataset.METAINFO['palette'])}
    intersection, union, truth_pixels = np.zeros((3, 19))
    for path in sorted((root / 'cityscapes/gtFine/val').rglob('*_labelIds.png')):
        truth = train_ids(read(path), CITYSCAPES)
        name = path.name.replace('_gtFine_labelIds', '_leftImg8bit')
        colours = read(shown / path.parent.name / name)
        codes = colours.astype(np.int64) @ [65536, 256, 1]
        predicted = np.full(truth.shape, 255)
        for colour, train_id in palette.items():
            predicted[codes == np.array(colour) @ [65536, 256, 1]] = train_id
        for c in range(19):
            a, b = (predicted == c) & (truth != 255), truth == c
            intersection[c] += (a & b).sum()
            union[c] += (a | b).sum()
            truth_pixels[c] += b.sum()
    present = truth_pixels > 0
    iou = 100 * intersection[present] / union[present]
    score = json.loads(out.read_text())
    names = np.array(_classes())
    assert score['absent'] == names[~present].tolist()
    assert [score['IoU'][n] for n in names[present]] == pytest.approx(iou.tolist())
    assert score['mIoU19'] == pytest.approx(iou.mean())
    assert score['frames'] == 3
