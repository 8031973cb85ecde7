"""Pseudo labels against the model's own argmax; what is skipped, made again and refused."""

import json
import shutil
from functools import partial

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmseg.apis import init_model

from mmseg_uvpt.correction.thresholds import class_quantiles
from mmseg_uvpt.engine.inference import confidence_counts
from mmseg_uvpt.engine.inference.confidence_counts import ConfidenceCounts
from mmseg_uvpt.engine.inference.label_report import LabelReport
from mmseg_uvpt.engine.scripts import generate_pseudo_label
from mmseg_uvpt.engine.work_folder import lock
from mmseg_uvpt.errors import UserError

FRAMES = ('aachen/aachen_0', 'aachen/aachen_1', 'ulm/ulm_0')
MEAN, DEVIATION = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


@pytest.fixture
def label(tmp_path, finished, source_config, miniature):
    """Make the pseudo labels; return their folder."""

    def run(*options: str, checkpoint=finished / 'iter_4.pth', data=miniature / 'data'):
        folder = tmp_path / 'labels'
        files = ['--checkpoint', str(checkpoint), '--pseudo_label_dir', str(folder)]
        data = ['--data-root', str(data)]
        generate_pseudo_label.main(['--config', str(source_config), *files, *data, *options])
        return folder

    return run


def read(folder, frame) -> np.ndarray:
    return cv2.imread(str(path(folder, frame)), cv2.IMREAD_UNCHANGED)


def path(folder, frame):
    return folder / f'{frame}_gtFine_labelTrainIds.png'


def test_argmax_frequencies_and_confidences(label, finished, source_config, miniature, capsys):
    folder = label('--batch-size', '3')
    model = init_model(str(source_config), str(finished / 'iter_4.pth'), device='cpu')
    pixels, sums, counts, blocks = np.zeros(19), np.zeros(19), np.zeros(19), 0
    for frame in FRAMES:
        image = cv2.imread(
            str(miniature / f'data/cityscapes/leftImg8bit/train/{frame}_leftImg8bit.png')
        )
        seen = cv2.resize(image, (64, 32), interpolation=cv2.INTER_LINEAR)[..., ::-1]
        x = torch.from_numpy((seen - MEAN) / DEVIATION).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            logits = model.encode_decode(x, [{'img_shape': (32, 64), 'pad_shape': (32, 64)}])
        full = F.interpolate(logits, (64, 128), mode='bilinear', align_corners=False).argmax(1)
        found = read(folder, frame)
        assert found.dtype == np.uint8
        # logits of neighbouring classes may tie in the last bit
        assert (found == full[0].numpy()).mean() > 0.999
        confidence, seen = (part[0].numpy() for part in logits.softmax(1).max(1))
        blocks += (found != seen.repeat(2, 0).repeat(2, 1)).sum()
        pixels += np.bincount(found.ravel(), minlength=19)
        counts += np.bincount(seen.ravel(), minlength=19)
        sums += np.bincount(seen.ravel(), confidence.ravel(), minlength=19)
    assert blocks > 100  # labels are not those of the network's size, enlarged
    report = json.loads((folder / 'pseudo_labels.json').read_text())
    frequencies = [entry['frequency'] for entry in report['classes'].values()]
    np.testing.assert_allclose(frequencies, pixels / pixels.sum())
    confidences = [entry['mean_confidence'] for entry in report['classes'].values()]
    for found, total, count in zip(confidences, sums, counts, strict=True):
        assert found is None if count == 0 else found == pytest.approx(total / count, abs=1e-3)
    assert report['images'] == report['images_with_confidence'] == 3
    assert '3 pseudo labels in' in capsys.readouterr().out


def test_whole_files_are_skipped_others_made_again(label):
    folder = label()
    made = {frame: read(folder, frame) for frame in FRAMES}
    confidence = json.loads((folder / 'pseudo_labels.json').read_text())['mean_confidence']
    own = np.full((64, 128), 7, np.uint8)
    cv2.imwrite(str(path(folder, FRAMES[0])), own)
    whole = path(folder, FRAMES[1]).read_bytes()
    path(folder, FRAMES[1]).write_bytes(whole[:-20])
    cv2.imwrite(str(path(folder, FRAMES[2])), own[:32])
    label()
    np.testing.assert_array_equal(read(folder, FRAMES[0]), own)
    np.testing.assert_array_equal(read(folder, FRAMES[1]), made[FRAMES[1]])
    np.testing.assert_array_equal(read(folder, FRAMES[2]), made[FRAMES[2]])
    report = json.loads((folder / 'pseudo_labels.json').read_text())
    assert report['mean_confidence'] == pytest.approx(confidence)  # nothing counted twice
    label('--force')
    np.testing.assert_array_equal(read(folder, FRAMES[0]), made[FRAMES[0]])


def test_labels_of_other_images_are_not_taken_for_those_of_these(
    label, data_root, finished, tmp_path
):
    """Of the same names and sizes, or by a model that is asked otherwise."""
    folder = label(data=data_root)
    image = data_root / f'cityscapes/leftImg8bit/train/{FRAMES[0]}_leftImg8bit.png'
    shutil.copytree(data_root, tmp_path / 'copied')
    label(data=tmp_path / 'copied')
    first = image.read_bytes()
    cv2.imwrite(str(image), 255 - cv2.imread(str(image)))
    with pytest.raises(UserError, match=r'holds pseudo labels of other images: .*aachen_0_left'):
        label(data=data_root)
    path(folder, FRAMES[0]).unlink()
    label(data=data_root)
    image.write_bytes(first)
    changed = ('model.data_preprocessor.mean=[0,0,0]', 'model.test_cfg.temperature=5')
    for change in changed:
        with pytest.raises(UserError, match=f'made with another {change[:14]}'):
            label('--cfg-options', change, data=data_root)


def test_no_label_of_another_model_is_left_by_force(label, data_root, finished, tmp_path):
    """Not of an image either that is not there any more."""
    folder = label(data=data_root)
    own = folder / 'own_gtFine_labelTrainIds.png'  # which nobody noted
    own.write_bytes(path(folder, FRAMES[2]).read_bytes())
    (data_root / f'cityscapes/leftImg8bit/train/{FRAMES[2]}_leftImg8bit.png').unlink()
    loaded = torch.load(finished / 'iter_4.pth', weights_only=True)
    loaded['state_dict']['decode_head.conv_seg.bias'][3] += 1
    torch.save(loaded, tmp_path / 'other.pth')
    label('--force', checkpoint=tmp_path / 'other.pth', data=data_root)
    assert not path(folder, FRAMES[2]).exists()
    assert path(folder, FRAMES[0]).is_file()
    assert own.is_file()
    report = json.loads((folder / 'pseudo_labels.json').read_text())
    assert report['images'] == report['images_with_confidence'] == 2


def test_two_runs_exclude_each_other(label, monkeypatch):
    folder = label()
    monkeypatch.setattr(lock, '_PATIENCE', 0.2)
    with (
        lock.locked(folder, 'none', 'python generate_pseudo_label.py here'),
        pytest.raises(
            UserError, match=r'in use by process .*label\.py here\..* another --pseudo_label_dir'
        ),
    ):
        label('--force')
    assert path(folder, FRAMES[0]).is_file()  # nothing was deleted


def test_full_disk_while_noting_confidences(label, monkeypatch):
    folder = label()
    journal = folder / 'pseudo_label_confidences.jsonl'
    lines = journal.read_text().splitlines()
    journal.write_text('\n'.join(lines[:2]) + '\n' + lines[2][:20])

    def full(*_, **__):
        raise OSError(28, 'No space left on device')

    path(folder, FRAMES[2]).unlink()
    with monkeypatch.context() as patch:
        patch.setattr('mmseg_uvpt.engine.inference.label_report.open', full, raising=False)
        with pytest.raises(UserError, match=r'^cannot write .*jsonl: No space') as error:
            label()
    assert str(error.value).endswith('Free some space and run the same command again')
    label()  # the half line has not swallowed the new one
    report = json.loads((folder / 'pseudo_labels.json').read_text())
    assert report['images_with_confidence'] == 3


def test_another_checkpoint_is_refused(label, finished):
    folder = label()
    before = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}
    other = finished / 'iter_2.pth'
    with pytest.raises(UserError, match=r'pseudo labels of another checkpoint.*iter_4\.pth'):
        label(checkpoint=other)
    assert {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()} == before
    label('--force', checkpoint=other)
    report = json.loads((folder / 'pseudo_labels.json').read_text())
    assert report['checkpoint'] == str(other)
    assert report['images_with_confidence'] == 3


def test_frames_of_different_sizes_in_a_batch(label, data_root):
    train = data_root / 'cityscapes/leftImg8bit/train'
    file = train / f'{FRAMES[1]}_leftImg8bit.png'
    cv2.imwrite(str(file), cv2.imread(str(file))[:, :100])
    folder = label('--batch-size', '3', data=data_root)
    assert [read(folder, frame).shape for frame in FRAMES] == [(64, 128), (64, 100), (64, 128)]


def test_missing_and_damaged_images(label, data_root):
    file = data_root / f'cityscapes/leftImg8bit/train/{FRAMES[2]}_leftImg8bit.png'
    file.write_bytes(file.read_bytes()[:-30])
    workers = ('--cfg-options', 'target_train_dataloader.num_workers=1')
    with pytest.raises(UserError, match=rf'^{file} is not a whole PNG') as error:
        label('--batch-size', '1', *workers, data=data_root)
    assert 'Traceback' not in str(error.value)
    shutil.rmtree(data_root / 'cityscapes/leftImg8bit/train')
    with pytest.raises(UserError, match='there is no such folder'):
        label(data=data_root)


def test_adapted_checkpoint_does_not_fit_a_source_config(label, tmp_path):
    file = tmp_path / 'other.pth'
    torch.save({'state_dict': {'decode_head.conv_seg.weight': torch.zeros(19, 16, 1, 1)}}, file)
    with pytest.raises(UserError, match='missing: '):
        label(checkpoint=file)
    assert not (tmp_path / 'labels').exists()


def test_a_diverged_model_labels_nothing(tmp_path, finished, adaptation_config, data_root):
    checkpoint = torch.load(finished / 'iter_4.pth', weights_only=True)
    checkpoint['state_dict']['decode_head.conv_seg.bias'][3] = float('nan')
    torch.save(checkpoint, tmp_path / 'nan.pth')
    folder = tmp_path / 'labels'
    with pytest.raises(UserError, match=r'no finite numbers for .*aachen_0'):
        generate_pseudo_label.main(
            [
                *('--config', str(adaptation_config), '--checkpoint', str(tmp_path / 'nan.pth')),
                *('--pseudo_label_dir', str(folder), '--data-root', str(data_root)),
            ]
        )
    assert not list(folder.rglob('*.png'))


def probabilities(model, frame: str, size: tuple[int, int], flip: bool, miniature) -> torch.Tensor:
    """Return the classes' probabilities (19, 64, 128) in one view, without the project's loop."""
    image = cv2.imread(
        str(miniature / f'data/cityscapes/leftImg8bit/train/{frame}_leftImg8bit.png')
    )
    seen = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)[..., ::-1]
    x = torch.from_numpy((seen - MEAN) / DEVIATION).permute(2, 0, 1)[None].float()
    meta = [{'img_shape': x.shape[2:], 'pad_shape': x.shape[2:]}]
    with torch.no_grad():
        logits = model.encode_decode(x.flip(3) if flip else x, meta)
    logits = logits.flip(3) if flip else logits
    return F.interpolate(logits, (64, 128), mode='bilinear', align_corners=False).softmax(1)[0]


@pytest.fixture
def sharp(tmp_path, finished):
    """A model that is sure of some pixels, as one of four iterations is not."""
    checkpoint = torch.load(finished / 'iter_4.pth', weights_only=True)
    checkpoint['state_dict']['decode_head.conv_seg.weight'] *= 50
    torch.save(checkpoint, tmp_path / 'sharp.pth')
    return tmp_path / 'sharp.pth'


@pytest.fixture
def label_sharp(label, sharp):
    return partial(label, checkpoint=sharp)


@pytest.fixture
def model(sharp, source_config):
    return init_model(str(source_config), str(sharp), device='cpu')


def test_of_several_views(label_sharp, model, miniature):
    folder = label_sharp('--aug-test')
    views = [(size, flip) for size in ((64, 32), (96, 48)) for flip in (False, True)]
    for frame in FRAMES:
        each = [probabilities(model, frame, *view, miniature) for view in views]
        expected, single = (sum(some).argmax(0).numpy() for some in (each, each[:1]))
        assert (read(folder, frame) == expected).mean() > 0.999
        assert (single == expected).mean() < 0.999
    record = json.loads((folder / 'pseudo_labels.json').read_text())
    assert [step['scale'] for step in record['tta_pipeline'][1]['transforms'][0]] == [
        [64, 32],
        [96, 48],
    ]
    with pytest.raises(UserError, match=r'made with --aug-test: choose another .*--force$'):
        label_sharp()


def test_a_threshold(label_sharp, model, miniature):
    folder = label_sharp('--threshold', '0.2')
    kept = 0
    for frame in FRAMES:
        confidence, expected = probabilities(model, frame, (64, 32), False, miniature).max(0)
        expected[confidence < 0.2] = 255
        assert (read(folder, frame) == expected.numpy()).mean() > 0.999
        kept += (expected < 255).sum().item()
    assert 0 < kept < 3 * 64 * 128
    record = json.loads((folder / 'pseudo_labels.json').read_text())
    assert record['threshold'] == 0.2
    assert record['labelled_share'] == pytest.approx(kept / (3 * 64 * 128), abs=1e-3)
    for other in (['--threshold', '0.3'], ['--class-quantile', '0.1']):
        with pytest.raises(UserError, match=r'labels made with --threshold 0\.2: choose another'):
            label_sharp(*other)
    smaller = 'target_train_dataloader.dataset.pipeline.1.scale=(32,16)'
    with pytest.raises(UserError, match='labels made with another pipeline'):
        label_sharp('--threshold', '0.2', '--cfg-options', smaller)
    with pytest.raises(UserError, match='labels made with another --amp'):
        label_sharp('--threshold', '0.2', '--amp')


def test_thresholds_of_classes(label_sharp, model, miniature, monkeypatch):
    """Half of the pixels of each class stay; what a killed run has measured is not done again."""

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LabelReport, 'note_thresholds', killed)
        with pytest.raises(KeyboardInterrupt):
            label_sharp('--class-quantile', '0.5')
    monkeypatch.setattr(ConfidenceCounts, 'add', killed)
    folder = label_sharp('--class-quantile', '0.5')
    assert not list(folder.glob('*.npz'))
    record = json.loads((folder / 'pseudo_labels.json').read_text())
    pairs = [probabilities(model, f, (64, 32), False, miniature).max(0) for f in FRAMES]
    confidence, expected = (torch.stack(each).numpy() for each in zip(*pairs, strict=True))
    found = np.stack([read(folder, frame) for frame in FRAMES])
    for i, threshold in enumerate(record['thresholds'].values()):
        own = np.sort(confidence[expected == i])
        if not len(own):
            assert threshold == 0
            continue
        assert threshold == pytest.approx(own[min(round(len(own) / 2), len(own) - 1)], rel=1e-3)
        sure = (expected == i) & (confidence > threshold * 1.001)
        unsure = (expected == i) & (confidence < threshold * 0.999)
        assert (found[sure] == i).mean() > 0.999
        assert (found[unsure] == 255).mean() > 0.999
    assert 0.45 < record['labelled_share'] < 0.55
    made = path(folder, FRAMES[1]).read_bytes()
    path(folder, FRAMES[1]).unlink()
    label_sharp('--class-quantile', '0.5')  # with the thresholds of the record
    assert path(folder, FRAMES[1]).read_bytes() == made
    record['thresholds'].popitem()
    (folder / 'pseudo_labels.json').write_text(json.dumps(record))
    with pytest.raises(UserError, match=r'pseudo_labels\.json names no thresholds of its classes'):
        label_sharp('--class-quantile', '0.5')


def test_counts_of_killed_processes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, (4, 8, 8)).astype(np.uint8)
    confidence = rng.random((4, 8, 8)).astype(np.float16)
    names = ['a', 'b', 'c', 'd']

    def written_by(rank: int, frames: list[int]) -> None:
        monkeypatch.setattr(confidence_counts, 'get_rank', lambda: rank)
        counts = ConfidenceCounts(tmp_path, names, 3)
        for i in frames:
            counts.add(names[i], label[i], confidence[i])
        counts.write()

    written_by(0, [0])
    written_by(1, [2])
    merged = (tmp_path / 'pseudo_label_counts.1.npz').read_bytes()
    monkeypatch.setattr(confidence_counts, 'get_rank', lambda: 0)
    counts = ConfidenceCounts(tmp_path, names, 3)
    counts.merge()
    (tmp_path / 'pseudo_label_counts.1.npz').write_bytes(merged)  # killed before it was removed
    (tmp_path / 'pseudo_label_counts.2.npz').write_bytes(merged[:-50])
    counts = ConfidenceCounts(tmp_path, names, 3)
    counts.merge()
    assert counts.missing() == [1, 3]
    for i in (1, 3):
        counts.add(names[i], label[i], confidence[i])
    np.testing.assert_array_equal(counts.quantiles(0.7), class_quantiles(label, confidence, 3, 0.7))
    assert len(list(tmp_path.iterdir())) == 1
    ConfidenceCounts.remove(tmp_path)
    assert not list(tmp_path.iterdir())
