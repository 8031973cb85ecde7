"""Classes that a config names, and nothing else: all scripts, with 2 to 254 of them."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_uvpt.datasets.label_encodings import CLASSES as CITYSCAPES
from mmseg_uvpt.datasets.named_classes import colours
from mmseg_uvpt.engine.config.classes import classes_of
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference.images import CLASSES, predict_images
from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train
from mmseg_uvpt.errors import UserError


def names(number: int) -> list[str]:
    return [f'kind {i}' for i in range(number)]


@pytest.fixture
def own(tmp_path, source_config, adaptation_config, data_root):
    """Write two configs that name classes, and labels that have them; return the configs."""

    def write(number: int, more: str = '', labels: int | None = None) -> tuple[str, str]:
        random = np.random.default_rng(0)
        for file in data_root.rglob('*_labelTrainIds.png'):
            blocks = random.integers(0, labels or number, (16, 32))
            cv2.imwrite(str(file), blocks.astype(np.uint8).repeat(4, 0).repeat(4, 1))
        configs = []
        for base in (source_config, adaptation_config):
            path = tmp_path / f'own-{base.name}'
            path.write_text(
                f'_base_ = {str(base)!r}\nmetainfo = dict(classes={names(number)!r})\n{more}\n'
            )
            configs.append(str(path))
        return tuple(configs)

    return write


def last_of(folder) -> str:
    return str(folder / 'iter_4.pth')


@pytest.mark.slow
@pytest.mark.parametrize('number', [2, 5, 200, 254])
def test_all_scripts(number, own, data_root, tmp_path):
    """A source model, its labels, an adaptation, a score, a prediction."""
    pretraining, adaptation = own(number)
    place = ['--data-root', str(data_root)]
    source, adapted, labels = (tmp_path / name for name in ('source', 'adapted', 'labels'))
    pretrain.main([pretraining, *place, '--work-dir', str(source)])
    assert len(list(source.glob('best_mIoU_iter_*.pth'))) == 1

    files = ['--config', adaptation, '--checkpoint', last_of(source)]
    generate_pseudo_label.main([*files, '--pseudo_label_dir', str(labels), *place])
    record = json.loads((labels / 'pseudo_labels.json').read_text())
    assert record['class_names'] == names(number)
    assert list(record['classes']) == names(number)

    files = ['--source-checkpoint', last_of(source), '--pseudo-label-dir', str(labels)]
    bound = ['--cfg-options', 'default_hooks.label_correction.foreign_labels=False']
    train.main([adaptation, *files, *place, '--work-dir', str(adapted), *bound])
    ran = Config.fromfile(adapted / 'config.py')
    assert ran.model.decode_head.num_classes == number
    assert ran.default_hooks.label_correction.num_classes == number
    assert ran.default_hooks.checkpoint.save_best == 'mIoU'
    assert ran.train_dataloader.dataset.metainfo.palette == colours(number)

    out = tmp_path / 'score.json'
    shown = ['--show-dir', str(tmp_path / 'shown')]
    where = ['--work-dir', str(tmp_path / 'test'), '--out', str(out)]
    test.main([adaptation, last_of(adapted), *place, *where, *shown])
    found = json.loads(out.read_text())
    assert found['classes'] == names(number)
    assert found['mIoU'] == found[f'mIoU{number}']
    truth = [cv2.imread(str(p), 0) for p in (data_root / 'cityscapes/gtFine/val').rglob('*.png')]
    pixels = np.bincount(np.ravel(truth), minlength=number)
    assert found['ground_truth_pixels'] == pixels.tolist()

    folder, seen = data_root / 'cityscapes/leftImg8bit/val', tmp_path / 'seen'
    cfg = read(adaptation)
    predict_images(cfg, last_of(adapted), [str(folder)], str(seen), 'run')
    (first, *_) = sorted(seen.rglob(f'*{CLASSES}'))
    ids = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    painted = tmp_path / 'shown' / first.relative_to(seen)
    painted = cv2.imread(str(painted).replace(CLASSES, '.png'))[..., ::-1]
    np.testing.assert_array_equal(painted, np.array(colours(number))[ids])
    said = json.loads((seen / 'predictions.json').read_text())
    assert said['classes'] == names(number)


def test_names_of_cityscapes_are_names_as_others(own, data_root, tmp_path):
    """Labels hold 0, 1, 2 for them: nothing is mapped from the 19 ids."""
    config, _ = own(3)
    options = ['--cfg-options', 'metainfo.classes=[sky,road,car]']
    place = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'work')]
    pretrain.main([config, *place, *options])
    state = torch.load(tmp_path / 'work/iter_4.pth', weights_only=True)
    assert list(state['meta']['dataset_meta']['classes']) == ['sky', 'road', 'car']
    assert len(state['state_dict']['decode_head.conv_seg.bias']) == 3


def test_scores_follow_the_classes(own):
    """Those that checkpoints and candidates are chosen by, as of 16 classes after SYNTHIA."""
    score = "default_hooks = dict(checkpoint=dict(save_best='mIoU16'), selection=%s)"
    _, config = own(5, score % "dict(_delete_=True, type='SelectionHook', score='mIoU16')")
    hooks = read(config).default_hooks
    assert (hooks.checkpoint.save_best, hooks.selection.score) == ('mIoU', 'mIoU')


def test_names_in_a_file(own, tmp_path):
    """With the mark that Notepad begins with, and an empty line at its end."""
    file = tmp_path / 'names.txt'
    file.write_bytes(b'\xef\xbb\xbfroad\r\nbus stop \r\n\r\n')
    metainfo = f'metainfo = dict(_delete_=True, classes={str(file)!r})'
    config, _ = own(5, metainfo)
    found = classes_of(read(config))
    assert found == ('road', 'bus stop')
    file.unlink()
    with pytest.raises(UserError, match=r'metainfo.classes names the file .*names.txt, which does'):
        read(config)


SOME = "dict(classes=('a', 'b', 'c', 'd', 'e'))"
WRONG = {
    'head': (['model.decode_head.num_classes=19'], r'decode_head\.num_classes: 19, .*: 5'),
    'head of one channel': (['model.decode_head.out_channels=1'], r'out_channels: 1, .*: 5'),
    'class weights': (
        ['model.decode_head.loss_decode.class_weight=[1.0,2.0]'],
        r'loss_decode\.class_weight: 2, .*: 5',
    ),
    'best': (
        ['default_hooks.checkpoint.save_best=mIoU19'],
        r"'mIoU19', but an evaluation gives mIoU, mIoU5, aAcc and",
    ),
    'names': (['val_dataloader.dataset.metainfo.classes=[a,b,c,e,d]'], r"id 3 is 'd' in .* 'e' in"),
    'other names': (['metainfo.classes=[a,b]', 'val_dataloader.dataset.metainfo.classes=[a,c]'],
                    r"id 1 is 'b' in metainfo and 'c' in val_dataloader"),
    'twice': (['metainfo.classes=[a,b,a]'], "metainfo.classes names 'a' twice"),
    'no names': (['metainfo.classes=5'], 'metainfo.classes is 5: it must be a list of names'),
    'colours': (['metainfo.palette=[[1,2,3]]'], 'has 1 colours for 5 classes'),
    'no colours': (['metainfo.palette=[1,2,3,4,5]'], r'list of colours \[red, green, blue\]'),
    'zero': (['train_dataloader.dataset.reduce_zero_label=True'], 'zero_label=True: the ids'),
}  # fmt: skip


@pytest.mark.parametrize('case', WRONG)
def test_what_disagrees_ends_before_the_run_begins(case, own, data_root, tmp_path):
    config, _ = own(5, f'metainfo = {SOME}')
    options, told = WRONG[case]
    work = tmp_path / 'work'
    place = ['--data-root', str(data_root), '--work-dir', str(work)]
    with pytest.raises(UserError, match=told) as error:
        pretrain.main([config, *place, '--cfg-options', *options])
    assert '\n' not in str(error.value)
    assert not (work / 'config.py').exists()


def test_255_classes(own, data_root, tmp_path):
    config, _ = own(255)
    with pytest.raises(UserError, match='has 255 names: a label can tell 254 classes apart'):
        pretrain.main([config, '--data-root', str(data_root), '--work-dir', str(tmp_path)])


def test_an_order_of_their_own_for_the_classes_of_cityscapes(source_config, data_root, tmp_path):
    """It could only mean that labels are mapped."""
    place = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'work')]
    assert 'metainfo' not in read(source_config).train_dataloader.dataset  # stays as it is
    config, told = tmp_path / 'turned.py', "in another order, id 0 is 'bicycle' instead of 'road'"
    for loader in ('train', 'val'):
        named = f'dict(dataset=dict(metainfo=dict(classes={CITYSCAPES[::-1]})))'
        config.write_text(f'_base_ = {str(source_config)!r}\n{loader}_dataloader = {named}\n')
        with pytest.raises(UserError, match=told):
            pretrain.main([str(config), *place])


@pytest.mark.parametrize('split', ['gta/labels', 'cityscapes/gtFine/val'])
def test_labels_beyond_the_classes_are_named(split, own, data_root, tmp_path):
    config, _ = own(5)
    file = sorted((data_root / split).rglob('*_labelTrainIds.png'))[0]
    label = cv2.imread(str(file), 0)
    label[0, :3] = (5, 18, 255)
    cv2.imwrite(str(file), label)
    told = rf'^{file}: label values \[5, 18\] are outside 0\.\.4 and 255 .* has 5 classes'
    with pytest.raises(UserError, match=told):
        pretrain.main([config, '--data-root', str(data_root), '--work-dir', str(tmp_path / 'w')])
    assert not (tmp_path / 'w/config.py').exists()


def test_masks_of_0_and_255(own, data_root, tmp_path):
    config, _ = own(2)
    for file in data_root.rglob('*_labelTrainIds.png'):
        cv2.imwrite(str(file), cv2.imread(str(file), 0) * 255)
    told = r"hold 'kind 0' and 255 alone, and 255 does not count: .* write 0 and 1$"
    with pytest.raises(UserError, match=told):
        pretrain.main([config, '--data-root', str(data_root), '--work-dir', str(tmp_path / 'w')])


def test_pseudo_labels_of_0_and_255(own, finished, data_root, tmp_path):
    """Made elsewhere; those of a model have no 255."""
    _, config = own(2)
    folder = data_root / 'cityscapes/pretrain/tiny/train'
    for image in (data_root / 'cityscapes/leftImg8bit/train').rglob('*.png'):
        name = image.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        (folder / image.parent.name).mkdir(parents=True, exist_ok=True)
        label = np.random.default_rng(0).choice([0, 255], (64, 128)).astype(np.uint8)
        cv2.imwrite(str(folder / image.parent.name / name), label)
    state = torch.load(finished / 'iter_4.pth', weights_only=True)['state_dict']
    head = {k: v[:2] if 'conv_seg' in k else v for k, v in state.items()}
    torch.save(head, tmp_path / 'two.pth')
    place = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'w')]
    with pytest.raises(UserError, match=r"3 pseudo labels in .* hold 'kind 0' and 255 alone"):
        train.main([config, '--source-checkpoint', str(tmp_path / 'two.pth'), *place])


def test_a_class_that_no_label_has_is_named(own, data_root, tmp_path):
    config, _ = own(4, labels=3)
    pretrain.main([config, '--data-root', str(data_root), '--work-dir', str(tmp_path / 'w')])
    (log,) = (tmp_path / 'w').glob('*/*.log')
    assert 'WARNING - no pixel of kind 3 in the 3 labels of GTADataset' in log.read_text()


def test_a_checkpoint_of_other_classes(own, finished, data_root, tmp_path):
    """As many, in another order: the tensors fit."""
    place = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'work')]
    config, adaptation = own(19)
    told = r"id 0 is '{}' in {}.* and '{}' in {}"
    with pytest.raises(UserError, match=told.format('kind 0', 'test_data', 'road', 'the check')):
        test.main([config, last_of(finished), *place])
    where = ['--config', config, '--checkpoint', last_of(finished), '--data-root', str(data_root)]
    with pytest.raises(UserError, match=told.format('kind 0', 'target_tr', 'road', 'checkpoint')):
        generate_pseudo_label.main([*where, '--pseudo_label_dir', str(tmp_path / 'labels')])
    with pytest.raises(UserError, match=told.format('kind 0', 'test_data', 'road', 'checkpoint')):
        predict_images(read(config), last_of(finished), [str(data_root)], str(tmp_path), 'run')
    (tmp_path / 'labels').mkdir()
    files = ['--source-checkpoint', last_of(finished), '--pseudo-label-dir']
    with pytest.raises(UserError, match=told.format('kind 0', 'this training', 'road', 'source')):
        train.main([adaptation, *place, *files, str(tmp_path / 'labels')])
