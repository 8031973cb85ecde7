"""The scripts with ``image_cache`` compute what they compute without it."""

import pytest
import torch
from killed_runs import tensors
from mmengine.config import Config

from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, train
from mmseg_uvpt.engine.work_folder.claim import differences


@pytest.fixture
def cache(tmp_path):
    """Options that turn the cache on, and its folder."""
    folder = tmp_path / 'cache'
    return ['--cfg-options', f'image_cache={folder}'], folder


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def entries(folder):
    return len([path for path in folder.rglob('*') if path.is_file()])


def test_pretraining(tmp_path, miniature, finished, source_config, cache):
    options, folder = cache
    arguments = ['--work-dir', str(tmp_path / 'run'), '--data-root', str(miniature / 'data')]
    pretrain.main([str(source_config), *arguments, *options])
    assert equal(tensors(tmp_path / 'run/iter_4.pth'), tensors(finished / 'iter_4.pth'))
    assert entries(folder) == 3 + 2  # of training, of validation


@pytest.mark.slow
def test_a_run_goes_on_without_its_cache_by_its_record(
    tmp_path, miniature, finished, source_config, cache
):
    """The record names the `ImageCache` of its pipelines; options name their transforms."""
    run = tmp_path / 'run'
    where = ['--work-dir', str(run), '--data-root', str(miniature / 'data')]
    pretrain.main([str(source_config), *where, *cache[0]])
    pipeline = 'train_dataloader.dataset.pipeline'
    recorded = Config.fromfile(run / 'config.py', import_custom_modules=False)
    assert recorded.train_dataloader.dataset.pipeline[0].type == 'ImageCache'
    (run / 'iter_4.pth').unlink()
    options = ['--cfg-options', 'uvpt.image_cache=None', f'{pipeline}.Resize.scale=(96,48)']
    pretrain.main([str(run / 'config.py'), *where, '--resume', *options])
    assert equal(tensors(run / 'iter_4.pth'), tensors(finished / 'iter_4.pth'))
    recorded = Config.fromfile(run / 'config.py', import_custom_modules=False)
    assert recorded.train_dataloader.dataset.pipeline[0].type == 'LoadImageChecked'


def test_a_run_may_go_on_with_another_cache():
    there, here = (
        Config({'uvpt': {'image_cache': None}, 'depth': 1}),
        Config({'uvpt': {'image_cache': 'a'}, 'depth': 2}),
    )
    assert [line.split()[0] for line in differences(there, here)] == ['depth']


@pytest.mark.slow
def test_labelling_and_adaptation(tmp_path, finished, adaptation_config, data_root, cache):
    options, folder = cache
    data = ['--data-root', str(data_root)]
    checkpoint = str(finished / 'iter_4.pth')
    labels = data_root / 'cityscapes/pretrain/tiny/train'
    files = ['--checkpoint', checkpoint, '--pseudo_label_dir', str(labels)]
    generate_pseudo_label.main(['--config', str(adaptation_config), *files, *data, *options])
    assert len(list(labels.rglob('*.png'))) == entries(folder) == 3

    found = []
    for name, more in (('plain', ['--cfg-options']), ('cached', options)):
        run = [str(adaptation_config), '--source-checkpoint', checkpoint, *data]
        train.main([*run, '--work-dir', str(tmp_path / name), *more, 'train_cfg.max_iters=2'])
        found.append(tensors(tmp_path / name / 'iter_2.pth'))
    assert equal(*found)
    assert (
        entries(folder) == 3 + 2 + 2
    )  # of labelling, of two iterations with labels, of validation
