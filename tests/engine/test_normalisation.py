"""Inputs are normalised as timm describes the weights, or a warning says that they are not."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_uvpt.engine.config.normalisation import fill_normalisation, normalisation_warning
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.scripts import pretrain

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
CLIP = dict(mean=[122.771, 116.746, 104.094], std=[68.501, 66.632, 70.323])
NONE = dict(mean=None, std=None)
FOUNDATION = Path(__file__).resolve().parents[2] / 'configs/foundation'


def config(preprocessor: dict, weights: str | None = None, name: str = 'convnext_base') -> Config:
    backbone = dict(type='TimmConvNeXt', model=name)
    if weights:
        backbone['init_cfg'] = dict(type='Pretrained', checkpoint=weights)
    return Config(dict(model=dict(backbone=backbone, data_preprocessor=dict(preprocessor))))


@pytest.mark.parametrize(
    ('weights', 'name', 'wanted'),
    [
        ('timm/convnext_base.fb_in22k', 'convnext_base', IMAGENET),
        ('timm/convnext_base.clip_laion2b', 'convnext_base', CLIP),
        ('mine.pth', 'convnext_base', IMAGENET),  # whose weights are not known: the usual ones
        ('mine.pth', 'convnext_base.clip_laion2b', CLIP),
        (None, 'convnext_base.clip_laion2b', CLIP),  # as in an adaptation
    ],
)
@pytest.mark.parametrize('stated', [{}, NONE, CLIP, IMAGENET])
def test_what_is_not_said_is_filled_and_what_is_said_stays(weights, name, wanted, stated):
    cfg = config(stated, weights, name)
    fill_normalisation(cfg)
    expected = wanted if stated in ({}, NONE) else stated
    found = cfg.model.data_preprocessor
    for part in ('mean', 'std'):
        assert found[part] == pytest.approx(expected[part], abs=1e-3)
    warning = normalisation_warning(cfg)
    assert (warning is None) == (expected is wanted)
    if warning:
        described = weights.removeprefix('timm/') if weights != 'mine.pth' and weights else name
        assert f'of {described}: set both to None' in warning
        assert f'mean={stated["mean"]}, and timm says {wanted["mean"]}' in warning


def test_other_backbones_are_left_alone():
    cfg = Config(dict(model=dict(backbone=dict(type='StagedSwin'), data_preprocessor=NONE)))
    fill_normalisation(cfg)
    assert cfg.model.data_preprocessor == NONE
    assert normalisation_warning(cfg) is None


@pytest.mark.parametrize('path', sorted(FOUNDATION.glob('*/*gta5*.py')), ids=lambda p: p.stem)
def test_the_recipes_say_what_timm_says(path):
    """In the files themselves: mmseg's own functions read them as they stand."""
    cfg = Config.fromfile(path, import_custom_modules=False)
    assert normalisation_warning(cfg) is None


def test_what_ran_is_recorded_and_a_difference_is_logged(miniature, source_config, tmp_path):
    small = 'depths=(1,1,1,1),dims=(16,32,64,128)'
    recipe = tmp_path / 'recipe.py'
    recipe.write_text(
        f'_base_ = {str(source_config)!r}\n'
        "model = dict(backbone=dict(_delete_=True, type='TimmConvNeXt', "
        f"model='convnext_base.clip_laion2b', **dict({small})))\n"
    )
    arguments = [str(recipe), '--data-root', str(miniature / 'data'), '--no-validate']
    arguments += ['--cfg-options', 'train_cfg.max_iters=1']
    arguments += ['model.data_preprocessor.mean=None', '--work-dir', str(tmp_path / 'work')]
    pretrain.main(arguments)
    recorded = Config.fromfile(tmp_path / 'work/config.py').model.data_preprocessor
    assert recorded.mean == pytest.approx(CLIP['mean'], abs=1e-3)
    assert recorded.std == IMAGENET['std']
    (log,) = (tmp_path / 'work').glob('*/*.log')
    assert f'has std={IMAGENET["std"]}, and timm says {CLIP["std"]}' in log.read_text()


def test_an_option_is_filled_too():
    path = FOUNDATION / 'pretrain/sss_eva02-l_gta5.py'
    options = [f'model.data_preprocessor.{part}=None' for part in ('mean', 'std')]
    cfg = resolve(Namespace(config=str(path), data_root=None, cfg_options=options))
    assert torch.tensor(cfg.model.data_preprocessor.std).allclose(torch.tensor(CLIP['std']))
