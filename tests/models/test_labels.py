"""Labels class by class against mmseg's own, which resizes all classes and takes the argmax."""

import pytest
import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.segmentors.seg_tta import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_uvpt.engine.inference.labels import largest, resized_label
from mmseg_uvpt.engine.inference.test_time_augmentation import AugmentedSegmentor

SIZE, SEEN = (50, 90), (32, 58)


@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def test_largest_and_the_first_of_equals(device):
    x = torch.randint(0, 4, (2, 19, 30, 40)).float()
    expected, first = x.max(1).values, x.argmax(1)
    value, label = largest(x.to(device))
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
        found = model.test_step({'inputs': images, 'data_samples': samples(2, **changes)})
    for a, b in zip(found, expected, strict=True):
        assert 'seg_logits' not in a
        assert len(b.pred_sem_seg.data.unique()) > 3
        assert torch.equal(a.pred_sem_seg.data.long(), b.pred_sem_seg.data)


def test_views_are_averaged_as_by_mmseg(model):
    images = [list(torch.randint(0, 255, (1, 3, *SEEN), dtype=torch.uint8)) for _ in range(3)]
    flip = {'flip': True, 'flip_direction': 'horizontal'}

    def views():
        return [
            samples(1, img_path='a'),
            samples(1, img_path='a', **flip),
            samples(1, img_path='a'),
        ]

    augmented = MODELS.build({'type': 'SegTTAModel', 'module': model})
    assert isinstance(augmented, AugmentedSegmentor)
    with torch.inference_mode():
        predictions = [plain_step(model, *view) for view in zip(images, views(), strict=True)]
        expected = SegTTAModel(model).merge_preds(list(zip(*predictions, strict=True)))
        found = augmented.test_step({'inputs': images, 'data_samples': views()})
    assert torch.equal(found[0].pred_sem_seg.data.long(), expected[0].pred_sem_seg.data)


@pytest.mark.gpu
def test_labels_on_the_gpu_equal_argmax_there():
    logits = (torch.randn(1, 19, 64, 128, device='cuda') * 3).round()
    whole = torch.nn.functional.interpolate(logits, (128, 300), mode='bilinear')
    assert torch.equal(resized_label(logits, (128, 300), False).long(), whole.argmax(1))
