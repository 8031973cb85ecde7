"""What users bring: photographs without labels, classes, metrics, losses and rules of their own."""

import json
from typing import ClassVar

import cv2
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model, init_model
from mmseg.registry import DATASETS, HOOKS, MODELS

from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.rule import LabelCorrectionRule
from mmseg_uvpt.datasets import checked_files
from mmseg_uvpt.datasets.cityscapes import CheckedCityscapesDataset
from mmseg_uvpt.datasets.gta_synthia import GTADataset
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference.images import CLASSES, predict_images
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.models.segmentors.uni_uvpt import UniUVPT

SEEN = []


class WatchfulRule(LabelCorrectionRule):
    def is_due(self, iteration):
        SEEN.append(iteration)
        return super().is_due(iteration)


@HOOKS.register_module()
class WatchfulHook(LabelCorrectionHook):
    def make_rule(self, epoch):
        return WatchfulRule(self.num_classes, epoch, self.interval, self.queue_length, self.slope)


@MODELS.register_module()
class SharpUVPT(UniUVPT):
    """Punishes view 1 where it is unsure."""

    def loss_by_views(self, views):
        unsure = 1 - views.logits[0].softmax(1).amax(1).mean()
        return {**super().loss_by_views(views), 'loss_sharp': unsure}


@pytest.fixture
def photographs(tmp_path):
    """A data root with four JPEGs of two sizes, and nothing else."""
    folder = tmp_path / 'own/cityscapes/leftImg8bit/train/holiday'
    folder.mkdir(parents=True)
    for i, size in enumerate([(64, 128), (64, 128), (80, 120), (64, 128)]):
        pixels = np.random.default_rng(i).integers(0, 255, (*size, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f'IMG_{i}.jpg'), pixels)
    return tmp_path / 'own'


def test_photographs_without_labels(tmp_path, finished, judged_config, photographs):
    """JPEGs, of which none has a label: pseudo labels, an adaptation with parts of one's own."""
    data = ['--data-root', str(photographs)]
    labels, checkpoint = tmp_path / 'labels', str(finished / 'iter_4.pth')
    config = ['--config', str(judged_config), '--checkpoint', checkpoint]
    suffix = 'target_train_dataloader.dataset.img_suffix=.jpg'
    generate_pseudo_label.main(
        [*config, '--pseudo_label_dir', str(labels), *data, '--cfg-options', suffix]
    )
    made = sorted(labels.rglob('*.png'))
    assert len(made) == 4
    assert cv2.imread(str(made[2]), cv2.IMREAD_UNCHANGED).shape == (80, 120)

    work = tmp_path / 'work'
    start = [str(judged_config), '--source-checkpoint', checkpoint, *data, '--work-dir']
    start += [str(work), '--pseudo-label-dir', str(labels)]
    options = ['--cfg-options', 'train_dataloader.dataset.img_suffix=.jpg']
    options += ['default_hooks.label_correction.type=WatchfulHook', 'model.type=SharpUVPT']
    with pytest.raises(UserError, match='val: there is no such folder'):
        train.main([*start, *options])
    SEEN.clear()
    train.main([*start, '--no-validate', *options])
    assert sorted(path.name for path in work.glob('*.pth')) == [
        *('iter_2.pth', 'iter_4.pth', 'selected.pth')
    ]
    assert SEEN == [0, 1, 2, 3]
    (log,) = work.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all(line['loss_sharp'] > 0 for line in lines if 'loss' in line)
    assert not any('mIoU' in line for line in lines)


def test_images_under_other_names_are_not_left_out_in_silence(
    photographs, finished, adaptation_config, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(checked_files, 'print_log', lambda text, *_: said.append(text))
    folder = photographs / 'cityscapes/leftImg8bit/train/holiday'
    cv2.imwrite(str(folder / 'a_leftImg8bit.png'), np.zeros((64, 128, 3), np.uint8))
    files = ['--checkpoint', str(finished / 'iter_4.pth'), '--pseudo_label_dir']
    files += [str(tmp_path / 'labels'), '--data-root', str(photographs)]
    generate_pseudo_label.main(['--config', str(adaptation_config), *files])
    assert len(said) == 1
    assert said[0].startswith('4 images are left out in ')
    assert ": .jpg (4). They do not end in '_leftImg8bit.png': rename them, or set" in said[0]


def test_numbers_of_classes_that_differ(source_config, finished, data_root, tmp_path):
    """Else a road would be called by another class's name."""
    where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
    options = ['--cfg-options', 'model.decode_head.num_classes=5']
    told = r'num_classes: 5, train_dataloader.dataset.metainfo.classes: 19, val_dataloader.*: 19'
    with pytest.raises(UserError, match=told):
        pretrain.main([str(source_config), *where, *options])
    checkpoint = torch.load(finished / 'iter_4.pth')
    for kind in ('weight', 'bias'):
        name = f'decode_head.conv_seg.{kind}'
        checkpoint['state_dict'][name] = checkpoint['state_dict'][name][:5]
    torch.save(checkpoint, tmp_path / 'five.pth')
    with pytest.raises(UserError, match=r'test_dataloader.*: 19.*make them agree'):
        test.main([str(source_config), str(tmp_path / 'five.pth'), *where, *options])


def test_another_metric(source_config, finished, data_root, tmp_path):
    out = tmp_path / 'score.json'
    where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
    options = ['--out', str(out), '--cfg-options', 'test_evaluator.type=IoUMetric']
    test.main([str(source_config), str(finished / 'iter_4.pth'), *where, *options])
    found = json.loads(out.read_text())
    assert found['metrics']['mIoU'] >= 0
    assert found['checkpoint'].endswith('iter_4.pth')


def test_a_best_score_that_no_evaluation_gives(source_config, data_root, tmp_path):
    where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
    options = ['--cfg-options', 'default_hooks.checkpoint.save_best=mDice']
    told = r"save_best is 'mDice', but an evaluation gives mIoU, .*: name one of these"
    with pytest.raises(UserError, match=told):
        pretrain.main([str(source_config), *where, *options])
    assert not list((tmp_path / 'work').glob('*.pth'))  # before it began, not after an evaluation


def test_predictions_of_any_images(photographs, finished, source_config, tmp_path):
    """As mmseg's own function gives them, at the size of each image, with the record beside."""
    folder = photographs / 'cityscapes/leftImg8bit/train'
    single, out = folder / 'holiday/IMG_0.jpg', tmp_path / 'seen'
    checkpoint = str(finished / 'iter_4.pth')
    cfg = read(source_config)
    count = predict_images(cfg, checkpoint, [str(folder), str(single)], str(out), 'run', opacity=1)
    assert count.images == 5
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob('*'))
    names = [f'holiday/IMG_{i}' for i in range(4)] + ['IMG_0']
    assert files == sorted(
        ['holiday', 'predictions.json', *(f'{n}{end}' for n in names for end in ('.png', CLASSES))]
    )
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline  # which mmseg reads
    model = init_model(cfg, checkpoint, device='cpu')
    result = Predictor(cfg, checkpoint)(single)
    classes, confidences = result.classes, result.confidence
    np.testing.assert_array_equal(
        classes, cv2.imread(str(out / f'IMG_0{CLASSES}'), cv2.IMREAD_UNCHANGED)
    )
    assert confidences.shape == (64, 128)
    assert 1 / 19 < confidences.min() <= confidences.max() <= 1
    palette = np.array(model.dataset_meta['palette'])
    for name, image in zip(names, [*sorted(folder.rglob('*.jpg')), single], strict=True):
        found = cv2.imread(str(out / f'{name}{CLASSES}'), cv2.IMREAD_UNCHANGED)
        expected = inference_model(model, str(image)).pred_sem_seg.data[0].numpy()
        np.testing.assert_array_equal(found, expected)
        colours = cv2.imread(str(out / f'{name}.png'))[..., ::-1]
        np.testing.assert_array_equal(colours, palette[expected])
    assert json.loads((out / 'predictions.json').read_text())['checkpoint'] == checkpoint


def test_images_that_cannot_be_predicted(photographs, finished, source_config, tmp_path):
    folder = photographs / 'cityscapes/leftImg8bit/train/holiday'
    checkpoint, out = str(finished / 'iter_4.pth'), str(tmp_path / 'seen')

    def predict(*images):
        predict_images(read(source_config), checkpoint, [str(i) for i in images], out, 'run')

    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'empty: no image there \(\.png, \.jpg'):
        predict(tmp_path / 'empty')
    with pytest.raises(UserError, match=r'none\.jpg does not exist: name an image or a folder'):
        predict(tmp_path / 'none.jpg')
    (folder / 'IMG_1.png').write_bytes(b'')
    with pytest.raises(UserError, match=r'IMG_1\.jpg and .*IMG_1\.png would both be predicted'):
        predict(folder)
    with pytest.raises(UserError, match=r'IMG_1\.png'):
        predict(folder / 'IMG_1.png')


FIVE = {'classes': tuple('abcde'), 'palette': [[i, 2 * i, 50 * i] for i in range(5)]}


@DATASETS.register_module()
class FiveSource(GTADataset):
    METAINFO: ClassVar[dict] = FIVE


@DATASETS.register_module()
class FiveTarget(CheckedCityscapesDataset):
    METAINFO: ClassVar[dict] = FIVE


@pytest.mark.slow
def test_classes_of_ones_own(source_config, adaptation_config, data_root, tmp_path):
    """Data sets with other classes: a source model, its labels, an adaptation, scores."""
    for file in data_root.rglob('*_labelTrainIds.png'):
        cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_UNCHANGED) % 5)
    target = ('target_train', 'val', 'test')
    options = ['model.decode_head.num_classes=5', 'default_hooks.checkpoint.save_best=mIoU']
    options += [f'{name}_dataloader.dataset.type=FiveTarget' for name in target]
    where = ['--data-root', str(data_root)]
    source, adapted = tmp_path / 'source', tmp_path / 'adapted'
    own = [*where, '--cfg-options', *options]
    first = ['train_dataloader.dataset.type=FiveSource']
    pretrain.main([str(source_config), '--work-dir', str(source), *own, *first])
    checkpoint, labels = str(source / 'iter_4.pth'), str(tmp_path / 'labels')
    config = ['--config', str(adaptation_config), '--checkpoint', checkpoint]
    generate_pseudo_label.main([*config, '--pseudo_label_dir', labels, *own])
    files = ['--source-checkpoint', checkpoint, '--pseudo-label-dir', labels]
    files += ['--work-dir', str(adapted)]
    then = ['train_dataloader.dataset.type=FiveTarget']
    then += ['default_hooks.label_correction.num_classes=5']
    train.main([str(adaptation_config), *files, *own, *then])
    assert len(list(adapted.glob('best_mIoU_iter_*.pth'))) == 1
    out = tmp_path / 'score.json'
    score = [str(adaptation_config), str(adapted / 'iter_4.pth'), '--out', str(out)]
    test.main([*score, '--work-dir', str(adapted), *own])
    found = json.loads(out.read_text())
    assert list(found['IoU']) == list('abcde')
    assert found['mIoU'] == found['mIoU5']
