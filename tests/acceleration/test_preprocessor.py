"""A batch on its way to the model: the same numbers as mmseg's, and nothing waited for."""

import pytest
import torch
from mmseg.models import SegDataPreProcessor

from mmseg_uvpt.acceleration.async_copies import AsyncPreprocessor

SETTINGS = {
    'mean': [123.675, 116.28, 103.53],
    'std': [58.395, 57.12, 57.375],
    'bgr_to_rgb': True,
    'pad_val': 0,
    'seg_pad_val': 255,
    'size_divisor': 32,
}


@pytest.fixture
def batch(labelled):
    """Return what makes a batch of two images of different sizes, the same each time."""

    def make() -> dict:
        torch.manual_seed(0)
        sizes = [(40, 50), (30, 64)]
        images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
        samples = [*labelled(torch.ones(1, 40, 50)), *labelled(torch.ones(1, 30, 64))]
        for sample, size in zip(samples, sizes, strict=True):
            sample.set_metainfo({'img_shape': size})
        return {'inputs': images, 'data_samples': samples}

    return make


@pytest.mark.parametrize('training', [True, False])
def test_gives_what_mmseg_gives(batch, training):
    data, expected = batch(), batch()
    if not training:
        for part in (*data.values(), *expected.values()):
            del part[1:]  # mmseg pads in training only
    found = AsyncPreprocessor(**SETTINGS)(data, training)
    expected = SegDataPreProcessor(**SETTINGS)(expected, training)
    assert torch.equal(found['inputs'], expected['inputs'])
    for one, other in zip(found['data_samples'], expected['data_samples'], strict=True):
        assert torch.equal(one.gt_sem_seg.data, other.gt_sem_seg.data)
        assert one.metainfo == other.metainfo


def test_copies_to_a_gpu_are_not_waited_for(batch, monkeypatch):
    pinned, copied = [], []

    def pin(x):
        pinned.append(x.clone())
        return pinned[-1]

    def to(x, device, non_blocking=False):
        assert any(x is y for y in pinned)
        copied.append((str(device), non_blocking))
        return x

    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin)
    monkeypatch.setattr(torch.Tensor, 'to', to)
    preprocessor = AsyncPreprocessor(**SETTINGS)
    preprocessor._device = torch.device('cuda')
    data = batch()
    cast = preprocessor.cast_data(data)
    assert copied == [('cuda', True)] * 4
    assert cast['data_samples'][1].metainfo == data['data_samples'][1].metainfo
    assert torch.equal(cast['data_samples'][1].gt_sem_seg.data, torch.ones(1, 30, 64))
