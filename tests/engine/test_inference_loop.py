"""The inference loop against mmseg: labels class by class, views and windows of an image."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.segmentors.seg_tta import SegTTAModel
from mmseg.structures import SegDataSample

from mmseg_uvpt.engine.inference.logits_to_labels import (
    largest_channel,
    resized_label,
    split_by_size,
)
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.errors import UserError

SIZE, SEEN = (50, 90), (32, 58)


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_largest_and_the_first_of_equals(device):
    x = torch.randint(0, 4, (2, 19, 30, 40)).float()
    expected, first = x.max(1).values, x.argmax(1)
    value, label = largest_channel(x.to(device))
    assert label.dtype == torch.uint8
    assert torch.equal(value.cpu(), expected)
    assert torch.equal(label.cpu().long(), first)


@pytest.mark.parametrize('size', [(64, 128), (33, 71), (20, 20), (16, 32)])
@pytest.mark.parametrize('align_corners', [False, True])
def test_a_class_is_resized_alone_as_among_others(size, align_corners):
    """To the bit: rounded, many logits tie, and any difference would show."""
    torch.manual_seed(0)
    logits = (torch.randn(1, 19, 16, 32) * 3).round()
    whole = torch.nn.functional.interpolate(
        logits, size, mode='bilinear', align_corners=align_corners
    )
    assert torch.equal(resized_label(logits, size, align_corners).long(), whole.argmax(1))


def samples(count: int, **more) -> list[SegDataSample]:
    metainfo = {'ori_shape': SIZE, 'img_shape': SEEN, 'pad_shape': SEEN, **more}
    return [SegDataSample(metainfo=metainfo) for _ in range(count)]


@pytest.fixture
def model(build):
    torch.manual_seed(0)
    model = build('swin-nano_source').eval()
    model.decode_head.conv_seg.weight.data.normal_()
    return model


def plain_step(model, images: list, views: list) -> list[SegDataSample]:
    """Predict as mmseg does."""
    batch = model.data_preprocessor({'inputs': images, 'data_samples': views}, False)
    x = EncoderDecoder.encode_decode(model, batch['inputs'], [s.metainfo for s in views])
    return EncoderDecoder.postprocess_result(model, x, views)


@pytest.mark.parametrize(
    'changes',
    [
        {},
        {'flip': True, 'flip_direction': 'horizontal'},
        {'flip': True, 'flip_direction': 'vertical', 'padding_size': (0, 6, 0, 4)},
    ],
)
def test_a_batch_is_labelled_as_by_mmseg(changes, model):
    images = list(torch.randint(0, 255, (2, 3, *SEEN), dtype=torch.uint8))
    with torch.inference_mode():
        expected = plain_step(model, images, samples(2, **changes))
    batch = {'inputs': images, 'data_samples': samples(2, **changes)}
    for result, sample in zip(predict(model, [batch], {'classes': 'abc'}), expected, strict=True):
        label = sample.pred_sem_seg.data[0]
        assert len(label.unique()) > 3
        assert torch.equal(result.label.long(), label)
        assert torch.equal(result.to_sample().pred_sem_seg.data[0], result.label)
        probability = sample.seg_logits.data.softmax(0).amax(0)
        torch.testing.assert_close(result.probability(), probability)
        label, confidence = result.as_seen()
        assert label.shape == confidence.shape == result.logits.shape[1:]
        assert torch.equal(confidence, result.logits.softmax(0).amax(0))
        assert result.class_names == ('a', 'b', 'c')
        assert 'seg_logits' not in result.sample


def test_views_are_averaged_as_by_mmseg(model):
    images = [list(torch.randint(0, 255, (1, 3, *SEEN), dtype=torch.uint8)) for _ in range(3)]
    flip = {'flip': True, 'flip_direction': 'horizontal'}

    def views():
        return [
            samples(1, img_path='a'),
            samples(1, img_path='a', **flip),
            samples(1, img_path='a'),
        ]

    with torch.inference_mode():
        predictions = [plain_step(model, *view) for view in zip(images, views(), strict=True)]
        mean = sum(sample.seg_logits.data.softmax(0) for (sample,) in predictions) / 3
        (expected,) = SegTTAModel(model).merge_preds(list(zip(*predictions, strict=True)))
    (found,) = predict(model, [{'inputs': images, 'data_samples': views()}])
    assert found.image == 'a'
    assert torch.equal(found.label.long(), expected.pred_sem_seg.data[0])
    torch.testing.assert_close(found.probability(), mean.amax(0))


@pytest.mark.parametrize('window', [(16, 20), (32, 32), (40, 90)])
def test_windows_are_averaged_as_by_mmseg(model, window):
    images = list(torch.randint(0, 255, (1, 3, *SEEN), dtype=torch.uint8))
    model.test_cfg = ConfigDict(mode='slide', crop_size=window, stride=(10, 14))
    with torch.inference_mode():
        batch = model.data_preprocessor({'inputs': images, 'data_samples': samples(1)}, False)
        expected = model.slide_inference(batch['inputs'], [samples(1)[0].metainfo])
    (found,) = predict(model, [{'inputs': images, 'data_samples': samples(1)}])
    torch.testing.assert_close(found.logits, expected[0])


@pytest.mark.parametrize('given', [{'stride': (17, 20)}, {'stride': (16,)}, {'stride': (0, 1)}, {}])
def test_windows_that_leave_gaps(model, given):
    model.test_cfg = ConfigDict(mode='slide', crop_size=(16, 20), **given)
    image = torch.zeros(3, *SEEN, dtype=torch.uint8)
    with pytest.raises(UserError, match=r'windows of crop_size=\(16, 20\), a stride=.*leave gaps'):
        next(predict(model, [{'inputs': [image], 'data_samples': samples(1)}]))


@pytest.mark.parametrize('number', [float('nan'), float('inf')])
@pytest.mark.parametrize('views', [False, True])
def test_a_model_without_numbers_predicts_nothing(model, number, views):
    model.decode_head.conv_seg.bias.data[3] = number
    image, sample = torch.zeros(3, *SEEN, dtype=torch.uint8), samples(1, img_path='road.png')
    batch = {'inputs': [image], 'data_samples': sample}
    if views:
        batch = {name: [part] for name, part in batch.items()}
    with pytest.raises(UserError, match=r'no finite numbers for road\.png'):
        next(predict(model, [batch]))


@pytest.mark.parametrize(('alone', 'parts'), [(False, 'ab c d'), (True, 'a b c d')])
def test_images_of_one_size_go_together(alone, parts):
    images = [torch.zeros(3, height, 5) for height in (4, 4, 6, 4)]
    found = list(split_by_size(images, 'abcd', alone))
    assert ' '.join(''.join(names) for _, names in found) == parts
    assert [id(image) for part, _ in found for image in part] == [*map(id, images)]


@pytest.mark.gpu
def test_labels_on_the_gpu_equal_argmax_there():
    logits = (torch.randn(1, 19, 64, 128, device='cuda') * 3).round()
    whole = torch.nn.functional.interpolate(logits, (128, 300), mode='bilinear')
    assert torch.equal(resized_label(logits, (128, 300), False).long(), whole.argmax(1))
