"""Each ablation: its page says what its file changes, and the demo's recipe can be changed so."""

import copy
import re
import runpy
from argparse import Namespace
from functools import cache

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import HOOKS, MODELS

from mmseg_uvpt.engine.config.ablation_options import FULL, ablation_options, ablations
from mmseg_uvpt.engine.config.overrides import merge_options
from mmseg_uvpt.engine.config.resolve import read, resolve
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY

FILES = REPOSITORY / 'configs/ablations/uni_uvpt'
DEMO = str(REPOSITORY / 'configs/demo/uni-uvpt_swin-nano.py')
FAST = ('adapters-2', 'correction-none', 'views-1')
PAGE = (REPOSITORY / 'docs/ablations.md').read_text()
SAID = {
    name: re.findall('`([^`]+)`', options)
    for name, options in re.findall(r'^\| \[`([\w.-]+)`\].* \| ([^|]+) \|$', PAGE, re.M)
}


@cache
def base() -> Config:
    return read(REPOSITORY / 'configs/_base_/ablation.py', import_modules=False)


@cache
def demo() -> Config:
    return read(DEMO, import_modules=False)


def test_the_page_has_each_ablation():
    assert sorted(SAID) == ablations()


def test_the_base_is_the_published_recipe_without_its_adapted_model():
    recipe = read(REPOSITORY / f'configs/uni_uvpt/{FULL}.py', import_modules=False).to_dict()
    full = read(FILES / f'{FULL}.py', import_modules=False).to_dict()
    assert full == recipe
    recipe['uvpt']['released_checkpoint'] = None
    recipe['uvpt']['published'] = {'source': {'mIoU19': 50.5}, 'adapted': {}}
    assert base().to_dict() == recipe


@pytest.mark.parametrize('name', ablations())
def test_a_file_is_the_recipe_and_what_its_page_says(name):
    own = runpy.run_path(str(FILES / f'{FULL}_{name}.py'))  # a tenth of the time of `read`
    assert own['_base_'] == '../../_base_/ablation.py'
    found, expected = copy.deepcopy(base()), copy.deepcopy(base())
    found.merge_from_dict({k: v for k, v in own.items() if not k.startswith('_')})
    merge_options(expected, SAID[name])
    assert found.to_dict() == expected.to_dict() != base().to_dict()


@pytest.mark.parametrize(
    'name', [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in ablations()]
)
def test_the_demo_can_be_changed_so(name):
    """An option that nothing read would be refused."""
    if name == 'tuner-lora':
        pytest.importorskip('peft')
    init_default_scope('mmseg')
    options = ablation_options(name, demo())
    cfg = resolve(Namespace(config=DEMO, data_root=None, cfg_options=options))
    model = MODELS.build(cfg.model)
    assert model.view_scales == tuple(cfg.model.get('view_scales', model.view_scales))
    assert type(model.backbone).__name__ == cfg.model.tuner.type
    if correction := cfg.default_hooks.label_correction:
        HOOKS.build(correction)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert model.eval()(images, mode='tensor').shape[1] == 19


def test_numbers_of_iterations_keep_their_share():
    assert ablation_options('interval-100') == ['default_hooks.label_correction.interval=100']
    (option,) = ablation_options('interval-100', demo())
    assert option == 'default_hooks.label_correction.interval=5'  # of 10, as 100 of 200
    (option,) = ablation_options('queue-500', demo())
    assert option == 'default_hooks.label_correction.queue_length=30'  # of 60, as 500 of 1,000
    (option,) = ablation_options('quantile-0.66', demo())
    assert option == 'default_hooks.label_correction.quantile=0.66'
