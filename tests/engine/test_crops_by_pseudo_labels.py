"""Adaptation draws its crops by the pseudo labels as they were made, in the loader's workers."""

import argparse

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_uvpt.datasets.image_cache import through_cache
from mmseg_uvpt.datasets.seeded_batches import seed_batches
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.config.training_labels import (
    check_labels_of_method,
    pseudo_label_dir,
    set_pseudo_label_dir,
    share_pseudo_labels,
)
from mmseg_uvpt.engine.scripts import train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import write_png

HOOK = 'default_hooks.label_correction.pseudo_label_dir'


def write_halves(data_root, folder):
    """Write pseudo labels whose left half is class 3 and whose right half is class 5."""
    label = np.full((64, 128), 3, np.uint8)
    label[:, 64:] = 5
    for frame in (data_root / 'cityscapes/leftImg8bit/train').rglob('*.png'):
        name = frame.name.replace('_leftImg8bit', '_gtFine_labelTrainIds')
        write_png(folder / frame.parent.name / name, label)
    return folder


@pytest.fixture
def halves(data_root):
    return write_halves(data_root, data_root / 'cityscapes/pretrain/tiny/train')


@pytest.fixture
def adapt(tmp_path, adaptation_config, finished, data_root):
    """Start an adaptation; return its work folder."""

    def start(*options, config=adaptation_config, folder='run'):
        files = ['--source-checkpoint', str(finished / 'iter_4.pth')]
        files += ['--work-dir', str(tmp_path / folder), '--data-root', str(data_root)]
        train.main([str(config), *files, *options])
        return tmp_path / folder

    return start


def folders(work) -> set[str]:
    cfg = Config.fromfile(work / 'config.py')
    hook, dataset = cfg.default_hooks.label_correction, cfg.train_dataloader.dataset
    return {hook.pseudo_label_dir, dataset.pseudo_label_dir}


@pytest.mark.slow
def test_one_entry_names_the_folder_and_both_are_recorded(adapt, halves, data_root, tmp_path):
    short = ['--no-validate', '--cfg-options', 'train_cfg.max_iters=1']
    work = adapt(*short)
    assert folders(work) == {str(halves)}  # below the data root
    other = write_halves(data_root, tmp_path / 'other')
    again = adapt('--pseudo-label-dir', str(other), *short, folder='again')
    assert folders(again) == {str(other)}
    recorded = adapt(*short, f'{HOOK}={halves}', config=again / 'config.py', folder='recorded')
    assert folders(recorded) == {str(halves)}


def test_crops_have_less_than_three_quarters_of_a_class(
    adaptation_config, halves, data_root, tmp_path
):
    cfg = resolve(
        argparse.Namespace(config=adaptation_config, cfg_options=[], data_root=str(data_root))
    )
    share_pseudo_labels(cfg)
    unbound = drawn(cfg, 0, None, 1)
    lefts = drawn(cfg, 0, None, 0.75)
    # of 32 columns more than 8 are of either class: frames of 64 columns are half and half
    assert {8 < left < 24 for left in lefts} == {True}
    assert {8 < left < 24 for left in unbound} == {True, False}
    cache = str(tmp_path / 'cache')
    for workers, folder in ((2, None), (0, cache), (2, cache)):
        assert drawn(cfg, workers, folder, 0.75) == lefts


def drawn(cfg, workers: int, cache: str | None, ratio: float) -> list[int]:
    """Return the left ends of the crops of the first batches."""
    loader = {**cfg.train_dataloader.to_dict(), 'num_workers': workers}
    loader['dataset']['pipeline'][3]['cat_max_ratio'] = ratio
    config = seed_batches(through_cache(loader, cache), 0)
    batches = iter(Runner.build_dataloader(config, seed=0))
    samples = [next(batches)['data_samples'][0] for _ in range(24)]
    # labels to train on are not loaded: the hook takes them from the bank
    assert not any(sample.keys() for sample in samples)
    return [sample.crop_box[2] for sample in samples]


@pytest.mark.slow
def test_a_pseudo_label_damaged_meanwhile_is_one_error(adapt, halves):
    options = ['--cfg-options', 'train_dataloader.num_workers=1']
    work = adapt(*options)
    (work / 'iter_4.pth').unlink()
    for path in halves.rglob('*.png'):
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=rf'^{halves}/.* is not a whole PNG .*--resume') as error:
        adapt('--resume', *options)
    assert '\n' not in str(error.value)
    assert 'Traceback' not in str(error.value)


def test_pseudo_labels_of_a_wrapped_training_set(adaptation_config):
    asked = argparse.Namespace(config=str(adaptation_config), data_root=None, cfg_options=[])
    cfg = resolve(asked)
    cfg.model = {**cfg.model, 'type': 'SelfTraining'}
    cfg.default_hooks.label_correction = None
    cfg.train_dataloader.dataset = {
        **{'type': 'RepeatDataset', 'times': 2, 'dataset': cfg.train_dataloader.dataset}
    }
    check_labels_of_method(cfg)
    set_pseudo_label_dir(cfg, 'labels')
    assert pseudo_label_dir(cfg) == 'labels'
    share_pseudo_labels(cfg)
    wrapper = cfg.train_dataloader.dataset
    assert 'pseudo_label_dir' not in wrapper
    assert wrapper.dataset.pseudo_label_dir == 'labels'
    assert wrapper.dataset.pipeline[1].trained_on


def test_data_sets_of_several_folders_of_pseudo_labels_are_refused(adaptation_config):
    """The record of one would stand for both."""
    asked = argparse.Namespace(config=str(adaptation_config), data_root=None, cfg_options=[])
    cfg = resolve(asked)
    cfg.default_hooks.label_correction = None
    sets = [{**cfg.train_dataloader.dataset, 'pseudo_label_dir': folder} for folder in 'ab']
    cfg.train_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': sets}
    with pytest.raises(UserError, match='several folders of pseudo labels, a, b'):
        share_pseudo_labels(cfg)
