"""Samples that label correction cannot use, and maps between network and frame."""

import re

import numpy as np
import pytest
import torch
from mmengine.dataset import RepeatDataset
from mmseg.structures import SegDataSample

from mmseg_uvpt.correction.bank_source import BankSource
from mmseg_uvpt.correction.batch import Crop, read_crop
from mmseg_uvpt.correction.label_bank import Box
from mmseg_uvpt.datasets.transforms import LoadPseudoLabel
from mmseg_uvpt.errors import UserError

META = {'sample_idx': 3, 'crop_box': (1, 5, 2, 8), 'frame_shape': (10, 12), 'flip': False}
IMAGE = torch.zeros(3, 4, 6)


def sample_with(**change: object) -> SegDataSample:
    return SegDataSample(metainfo={**META, **change})


def test_crop_is_read() -> None:
    crop = read_crop(sample_with(flip=True, flip_direction='horizontal'), IMAGE)
    assert crop == Crop(3, (10, 12), Box(1, 5, 2, 8), flipped=True)


@pytest.mark.parametrize('key', META)
def test_missing_meta_key_is_named(key: str) -> None:
    sample = SegDataSample(metainfo={k: v for k, v in META.items() if k != key})
    with pytest.raises(UserError, match=f'does not hand on {key}: it needs CropWithBox'):
        read_crop(sample, IMAGE)


def test_vertical_flip_is_refused() -> None:
    with pytest.raises(UserError, match="horizontal flips only, not 'vertical'"):
        read_crop(sample_with(flip=True, flip_direction='vertical'), IMAGE)


def test_image_resized_after_the_crop_is_refused() -> None:
    with pytest.raises(UserError, match=re.escape('is (4, 6), its image (8, 12)')):
        read_crop(sample_with(), torch.zeros(3, 8, 12))


@pytest.mark.parametrize('flipped', [False, True])
def test_label_and_prediction_go_opposite_ways(flipped: bool) -> None:
    """What is given to the network and comes back from it, padded, is what it was."""
    crop = Crop(0, (10, 12), Box(1, 5, 2, 8), flipped)
    label = np.random.default_rng(0).integers(0, 19, (4, 6), np.uint8)
    sample = SegDataSample()
    crop.set_label(sample, label)
    given = sample.gt_sem_seg.data
    assert given.shape == (1, 4, 6)
    assert given.dtype == torch.int64
    assert (given[0, :, 0].numpy() == label[:, -1 if flipped else 0]).all()
    padded = np.pad(given[0].numpy(), ((0, 4), (0, 2)), constant_values=99)
    np.testing.assert_array_equal(crop.from_network(padded), label)


def test_prediction_smaller_than_the_crop_is_refused() -> None:
    crop = Crop(0, (10, 12), Box(1, 5, 2, 8), flipped=False)
    with pytest.raises(ValueError, match=r'a prediction of \(4, 5\) cannot cover'):
        crop.from_network(np.zeros((4, 5), np.uint8))


def test_data_set_in_a_wrapper_is_refused(make_runner, target) -> None:
    dataset = RepeatDataset(make_runner('run', 1).train_dataloader.dataset, 2)
    with pytest.raises(UserError, match='not the wrapper RepeatDataset'):
        BankSource(dataset, target / 'pseudo', 4)


def test_pipeline_without_a_crop_is_refused(make_runner, target) -> None:
    dataset = make_runner('run', 1).train_dataloader.dataset
    del dataset.pipeline.transforms[2]
    with pytest.raises(UserError, match=r'one cropping transform .* found 0: use .*CropWithBox'):
        BankSource(dataset, target / 'pseudo', 4)


def test_crops_are_drawn_by_the_pseudo_labels_of_the_bank(make_runner, target) -> None:
    dataset = make_runner('run', 1).train_dataloader.dataset
    dataset.pipeline.transforms[2].cat_max_ratio = 0.75
    with pytest.raises(UserError, match=r"which nothing loads: put dict\(type='LoadPseudoLabel'\)"):
        BankSource(dataset, target / 'pseudo', 4)
    dataset.pipeline.transforms.insert(1, LoadPseudoLabel())
    dataset.pseudo_label_dir = str(target / 'other')
    with pytest.raises(
        UserError, match=r'in .*/other .* those in .*/pseudo .*name the same folder'
    ):
        BankSource(dataset, target / 'pseudo', 4)
    dataset.pseudo_label_dir = str(target / 'images/../pseudo')
    BankSource(dataset, target / 'pseudo', 4)


def test_frame_of_another_size_than_in_the_bank_is_refused(make_runner) -> None:
    """A transform between Resize and the crop would shift every label."""
    runner = make_runner('run', 3)
    crop = runner.train_dataloader.dataset.pipeline.transforms[2]
    transform = crop.transform

    def shrink_first(results: dict) -> dict:
        results['img'] = results['img'][:-1]
        return transform(results)

    crop.transform = shrink_first
    with pytest.raises(UserError, match=r'frame \d is .* in training and .* in the label bank'):
        runner.train()


def test_a_flip_before_the_crop_is_refused(make_runner, target) -> None:
    """The box would be that of a mirrored frame."""
    dataset = make_runner('run', 1).train_dataloader.dataset
    steps = dataset.pipeline.transforms
    steps[2:4] = reversed(steps[2:4])
    with pytest.raises(UserError, match=r'in this order, and the pipeline has RandomFlip, CropW'):
        BankSource(dataset, target / 'pseudo', 4)
