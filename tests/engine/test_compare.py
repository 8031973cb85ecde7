"""``test.py --compare``: models that predict one class each, on frames with known shares of it."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_uvpt.checkpoints.hashes import weights_sha256
from mmseg_uvpt.checkpoints.loading import load_source_model
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.errors import UserError

POLE, PLANT = 5, 8
SHARES = (
    0.625,
    0.75,
    1.0,
    0.9375,
    0.828125,
)  # of plants in a frame; the rest are poles


@pytest.fixture(scope='module')
def checkpoints(finished, adaptation_config, tmp_path_factory):
    """A source model that predicts poles, and an adapted one that predicts plants."""
    folder = tmp_path_factory.mktemp('models')
    loaded = torch.load(finished / 'iter_4.pth', weights_only=True)
    del loaded['optimizer']
    adapted = MODELS.build(Config.fromfile(adaptation_config).model)
    load_source_model(adapted, finished / 'iter_4.pth')
    for name, tensors, predicted in (
        ('source', loaded['state_dict'], POLE),
        ('adapted', adapted.state_dict(), PLANT),
    ):
        tensors['decode_head.conv_seg.bias'][predicted] = 1e4
        torch.save({'meta': loaded['meta'], 'state_dict': tensors}, folder / f'{name}.pth')
    return folder


@pytest.fixture
def frames(data_root):
    """Five labelled frames."""
    for i, share in enumerate(SHARES):
        label = np.full((64, 128), PLANT, np.uint8)
        label[round(64 * share) :] = POLE
        image = np.zeros((64, 128, 3), np.uint8)
        for kind, pixels in (('leftImg8bit', image), ('gtFine', label)):
            suffix = '' if kind == 'leftImg8bit' else '_labelTrainIds'
            path = data_root / f'cityscapes/{kind}/val/bonn/bonn_{i}_{kind}{suffix}.png'
            cv2.imwrite(str(path), pixels)


@pytest.fixture
def compare(tmp_path, checkpoints, adaptation_config, data_root):
    """Compare the two; return the result."""

    def run(
        *options: str, adapted='adapted.pth', source='source.pth', config=adaptation_config
    ) -> dict:
        where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
        out = tmp_path / 'score.json'
        files = [str(checkpoints / adapted), '--compare', str(checkpoints / source)]
        test.main([str(config), *files, *where, '--out', str(out), *options])
        return json.loads(out.read_text())

    return run


@pytest.mark.usefixtures('frames')
@pytest.mark.parametrize(
    'options',
    [
        (),
        pytest.param(('--aug-test', '--amp', '--batch-size', '3'), marks=pytest.mark.slow),
    ],
)
def test_source_and_adapted_are_scored_on_the_same_images(compare, options, tmp_path, capsys):
    result = compare(*options, '--show-dir', str(tmp_path / 'shown'))
    found = result['comparison']
    share = 100 * np.mean(SHARES)  # of plants: that is their IoU by the one, the rest by the other
    assert found['IoU']['vegetation']['adapted'] == pytest.approx(share)
    assert found['IoU']['pole']['source'] == pytest.approx(100 - share)
    assert found['IoU']['road']['difference'] is None
    assert found['mIoU19']['adapted'] == result['mIoU19'] == pytest.approx(share / 2)
    assert found['mIoU19']['difference'] == pytest.approx(share - 50)
    # of so few, nearly all resamples: the first frame five times, or the third, without a pole
    low, high = found['mIoU19']['interval']
    assert 100 * SHARES[0] - 50 <= low < share - 50 < high <= 100
    assert found['mIoU13']['source'] == 0  # without poles
    assert found['source_checkpoint'].endswith('source.pth')
    told = r'better than source by 32\.81 mIoU \(95 % interval: \+\d\S+ to \+\d\S+\), 5 images'
    assert re.search(told, found['sentence'])
    assert found['sentence'] in capsys.readouterr().out
    shown = [cv2.imread(str(path)) for path in (tmp_path / 'shown').rglob('*.png')]
    green, red = (142, 35), 107  # a plant's colour
    assert (np.stack(shown) == (green[1], green[0], red)).all()
    ran = sorted((tmp_path / 'work').glob('*/config.py'))
    assert [Config.fromfile(path).model.type for path in ran] == ['UniUVPT', 'SourceSegmentor']


@pytest.mark.usefixtures('frames')
def test_a_result_that_nobody_named_is_not_lost(
    tmp_path, checkpoints, adaptation_config, data_root
):
    """A test of other images, or without the comparison, has the same default file."""
    work, models = tmp_path / 'work', checkpoints.name
    given = [str(adaptation_config), str(checkpoints / 'adapted.pth'), '--work-dir', str(work)]
    given += ['--data-root', str(data_root)]
    compared = ['--compare', str(checkpoints / 'source.pth')]
    test.main([*given, *compared])
    test.main([*given, *compared])  # the same once more
    result = work / f'test_{models}_adapted.json'
    before = result.read_bytes()
    other = shutil.copytree(data_root, tmp_path / 'other')
    with pytest.raises(UserError, match=r'adapted\.json exists: it has a comparison, .* --out'):
        test.main(given)
    with pytest.raises(UserError, match=r'adapted\.json exists: .* other data, .*test\.py.* --out'):
        test.main([*given, *compared, '--data-root', str(other)])
    assert result.read_bytes() == before
    test.main([*given, '--data-root', str(other), '--out', str(result)])
    assert 'comparison' not in json.loads(result.read_text())


@pytest.mark.usefixtures('frames')
def test_the_source_is_that_of_the_training(compare, checkpoints):
    """Whatever its file is called; of a second round it is what the first one made."""
    loaded = torch.load(checkpoints / 'source.pth', weights_only=True)
    weights = loaded['state_dict']
    adapted = torch.load(checkpoints / 'adapted.pth', weights_only=True)
    adapted['meta'] = {**adapted['meta'], 'adapted_from': [weights_sha256(weights)]}
    torch.save(adapted, checkpoints / 'second.pth')
    by_our_names = {  # without prompts, as AdaBN leaves it
        name.replace('backbone.', 'backbone.staged.'): tensor for name, tensor in weights.items()
    }
    first = {**loaded, 'state_dict': {**by_our_names, 'scale_weights': torch.ones(3)}}
    torch.save(first, checkpoints / 'first.pth')
    with pytest.raises(UserError, match=r'second\.pth was not adapted from .*first\.pth'):
        compare(adapted='second.pth', source='first.pth')
    own = compare(adapted='second.pth')['comparison']
    adapted['meta']['adapted_from'].append(weights_sha256(first['state_dict']))
    torch.save(adapted, checkpoints / 'second.pth')
    found = compare(adapted='second.pth', source='first.pth')['comparison']
    assert {**found, 'source_checkpoint': ''} == {**own, 'source_checkpoint': ''}


@pytest.mark.usefixtures('frames')
def test_the_score_is_the_first_that_checkpoints_are_kept_by(compare, tmp_path):
    """And a file that the config names is of the adapted model, not of the source."""
    out = tmp_path / 'metric.json'
    result = compare(
        *('--cfg-options', 'default_hooks.checkpoint.save_best=[mIoU13,aAcc]'),
        f'test_evaluator.out_json={out}',
    )
    assert 'mIoU13' in result['comparison']['sentence']
    assert json.loads(out.read_text())['mIoU19'] == result['mIoU19']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'source': 'adapted.pth'}, r'adapted\.pth is an adapted model: give the source model'),
        ({'source': 'none.pth'}, r'--compare: .*none\.pth does not exist'),
        ({'source': 'other.pth'}, r"id 1 is 'sidewalk' in test_dataloader and 'lake' in source"),
        ({'source': 'wider.pth'}, r'wider\.pth has a head of 20 classes, the config one of 19'),
        ({'config': 'source'}, r'--compare is for adapted models, and .*tiny\.py describes none'),
        ({'metric': 'IoUMetric'}, r'--compare needs test_evaluator\.type=DomainIoUMetric'),
    ],
)
def test_what_cannot_be_compared_is_told_before_anything_is_scored(
    compare, checkpoints, source_config, options, message, tmp_path
):
    loaded = torch.load(checkpoints / 'source.pth', weights_only=True)
    classes = loaded['meta']['dataset_meta']['classes']
    loaded['meta']['dataset_meta']['classes'] = [classes[0], 'lake', *classes[2:]]
    torch.save(loaded, checkpoints / 'other.pth')
    head = {'weight': (20, 16, 1, 1), 'bias': (20,)}
    tensors = {f'decode_head.conv_seg.{name}': torch.zeros(size) for name, size in head.items()}
    torch.save({'state_dict': loaded['state_dict'] | tensors}, checkpoints / 'wider.pth')
    metric = options.get('metric', 'DomainIoUMetric')
    config = {'config': source_config} if 'config' in options else {}
    with pytest.raises(UserError, match=message):
        compare(
            '--cfg-options',
            f'test_evaluator.type={metric}',
            source=options.get('source', 'source.pth'),
            **config,
        )
    assert not (tmp_path / 'work').exists()
