"""Recipes for targets beside Cityscapes: what they read, and that the launchers run them."""

from argparse import Namespace
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from mmseg_uvpt.datasets.layouts import LAYOUTS
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.nested import parts_of_type
from mmseg_uvpt.sweep.cli import main
from mmseg_uvpt.sweep.jobs import Settings
from mmseg_uvpt.sweep.rows import find_rows
from mmseg_uvpt.sweep.stages import list_jobs

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
ROOTS = sorted((CONFIGS / 'targets').iterdir())
SOURCES = {
    **dict.fromkeys(('acdc', 'dark-zurich'), 'cityscapes'),
    **dict.fromkeys(('bdd100k', 'mapillary'), 'gta5'),
}


def resolved(path):
    return resolve(Namespace(config=str(path), data_root='/d', cfg_options=[]))


def test_they_are_all_there():
    assert {root.name for root in ROOTS} == set(SOURCES)


@pytest.mark.parametrize('root', ROOTS, ids=lambda root: root.name)
def test_a_recipe_reads_its_target(root):
    (row,) = find_rows(root)
    assert row.name == f'sss_swin-b_{SOURCES[root.name]}'
    assert row.adapted_name == f'{row.name}-to-{root.name}'
    layout = LAYOUTS[root.name.replace('-', '_')]
    for path in (row.pretraining, row.adaptation):
        assert 'Nobody has trained it here.' in path.read_text()
        cfg = resolved(path)
        assert cfg.uvpt.published is None
        read = [cfg[f'{part}_dataloader'].dataset for part in ('target_train', 'val', 'test')]
        if path == row.adaptation:
            read.append(cfg.train_dataloader.dataset)
            (correction,) = parts_of_type(cfg.default_hooks, 'LabelCorrectionHook')
            assert correction.pseudo_label_dir.startswith(f'/d/{layout.name}/pretrain/')
            assert cfg.uvpt.released_checkpoint is None
        assert {part.layout for part in read} == {layout.name}
        assert {part.data_root for part in read} == {f'/d/{layout.name}'}
        splits = [part.split for part in read]
        assert splits == [*layout.splits, layout.splits[1], layout.splits[0]][: len(splits)]


@pytest.mark.parametrize('name', ['acdc', 'dark-zurich'])
def test_cityscapes_is_a_source_with_labels(name, tmp_path):
    cfg = resolved(CONFIGS / f'targets/{name}/pretrain/sss_swin-b_cityscapes.py')
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'CheckedCityscapesDataset'
    assert dataset.data_root == '/d/cityscapes'
    assert dataset.data_prefix == {'img_path': 'leftImg8bit/train', 'seg_map_path': 'gtFine/train'}
    assert [step.type for step in dataset.pipeline][:2] == ['LoadImageChecked', 'LoadLabelChecked']
    assert cfg.uvpt.released_checkpoint is None


def test_what_is_made_for_a_target_is_not_taken_for_another(tmp_path):
    """In one work root, with the source model shared."""
    folders = {}
    for root in (CONFIGS, CONFIGS / 'targets/bdd100k', CONFIGS / 'targets/mapillary'):
        for stage, source_only in (('pseudo_label', 0), ('train', 0), ('test', 0), ('test', 1)):
            settings = Settings(root, tmp_path, source_only=bool(source_only))
            (job,) = list_jobs(stage, settings, [0], ['sss_swin-b_gta5*'])
            assert job.folder not in folders
            folders[job.folder] = job.config
        (pretraining,) = list_jobs('pretrain', Settings(root, tmp_path), [0], ['sss_swin-b_gta5*'])
        assert pretraining.folder == tmp_path / 'seed0/pretrain/sss_swin-b_gta5'
    scored = folders[tmp_path / 'seed0/test_source/sss_swin-b_gta5-to-bdd100k']
    assert scored == CONFIGS / 'targets/bdd100k/pretrain/sss_swin-b_gta5.py'


@pytest.mark.parametrize('root', ROOTS, ids=lambda root: root.name)
def test_the_launcher_lists_them(root, tmp_path, capsys):
    places = ['--config-root', str(root), '--work-root', str(tmp_path / 'w')]
    assert main('train', 'Train.', ['--list', *places]) == 0
    assert f'sss_swin-b_{SOURCES[root.name]}-to-{root.name}/seed0' in capsys.readouterr().out


def test_data_sets_of_a_recipe_are_built(tmp_path):
    cfg = resolved(CONFIGS / 'targets/acdc/uni_uvpt/sss_swin-b_cityscapes-to-acdc.py')
    image = tmp_path / 'acdc/rgb_anon/snow/train/GP01/a_rgb_anon.png'
    image.parent.mkdir(parents=True)
    image.touch()
    init_default_scope('mmseg')
    described = cfg.train_dataloader.dataset
    described.update(data_root=str(tmp_path / 'acdc'), pseudo_label_dir='labels', lazy_init=True)
    dataset = DATASETS.build(described)
    (frame,) = dataset.load_data_list()
    assert frame['img_path'] == str(image)
    assert frame['pseudo_label_path'] == 'labels/snow/train/GP01/a_gt_labelTrainIds.png'
