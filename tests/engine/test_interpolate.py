"""tools/interpolate.py: from the source model to the adapted one, as test.py reads it."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_uvpt.checkpoints.loading import load_file, load_source_model
from mmseg_uvpt.checkpoints.names import is_added
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference.model import source_model
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.errors import UserError

TOOL = Path(__file__).resolve().parents[2] / 'tools/interpolate.py'
TUNERS = {
    'prompts': '',
    'lora': "_delete_=True, type='LoRA', rank=2",
    'all': "_delete_=True, type='All'",
}


@pytest.fixture
def run_tool(monkeypatch):
    def run(*arguments) -> None:
        monkeypatch.setattr(sys, 'argv', [TOOL.name, *map(str, arguments)])
        runpy.run_path(str(TOOL))['main']()

    return run


@pytest.fixture
def adapt(adaptation_config, finished, tmp_path):
    """Write a config with a tuner, and what might be adapted with it; return both files."""

    def write(tuner: str):
        config, file = tmp_path / f'{tuner}.py', tmp_path / f'{tuner}.pth'
        tuner = f'model = dict(tuner=dict({TUNERS[tuner]}))'
        config.write_text(f'_base_ = {str(adaptation_config)!r}\n{tuner}\n')
        init_default_scope('mmseg')
        torch.manual_seed(0)
        model = MODELS.build(read(config).model)
        load_source_model(model, finished / 'iter_4.pth')
        with torch.no_grad():
            for parameter in filter(lambda p: p.requires_grad, model.parameters()):
                parameter.add_(torch.randn_like(parameter), alpha=0.05)
        meta = {'dataset_meta': load_file(finished / 'iter_4.pth')['meta']['dataset_meta']}
        torch.save({'meta': meta, 'state_dict': model.state_dict()}, file)
        return config, file

    return write


IMAGE = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    'tuner', [pytest.param(t, marks=pytest.mark.slow) for t in ('prompts', 'lora', 'all')]
)
def test_between_source_and_adapted(adapt, run_tool, finished, tmp_path, tuner):
    if tuner == 'lora':
        pytest.importorskip('peft')
    source, (config, adapted) = finished / 'iter_4.pth', adapt(tuner)
    cfg, found = read(config), {}
    for alpha in (0, 0.25, 1):
        out = tmp_path / f'{alpha}.pth'
        run_tool(source, adapted, out, '--alpha', alpha, '--config', config)
        found[alpha] = load_file(out)['state_dict']

    @torch.no_grad()
    def predict(file: Path) -> torch.Tensor:
        return source_model(cfg, str(file))(IMAGE, mode='tensor')

    at_source, predicted = predict(tmp_path / '0.pth'), predict(source)
    assert torch.equal(at_source, predicted) or tuner == 'prompts'  # whose gamma begins at 1e-6
    torch.testing.assert_close(at_source, predicted, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(predict(tmp_path / '1.pth'), predicted, atol=1e-2)
    weights, random = load_file(adapted)['state_dict'], 0
    assert found[1].keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in found[1].items())
    of_source = load_file(source)['state_dict']
    for name, tensor in found[0.25].items():
        start = found[0][name]
        if not is_added(name) and name != 'scale_weights':
            assert torch.equal(start, of_source[name.replace('backbone.staged.', 'backbone.')])
        expected = 0.75 * start.double() + 0.25 * weights[name].double()
        torch.testing.assert_close(tensor.double(), expected, atol=1e-6, rtol=1e-5)
        random += is_added(name) and start.ndim > 1 and torch.equal(start, weights[name])
    assert bool(random) == (tuner != 'all')


def test_its_file_is_tested_with_the_same_config(adapt, run_tool, finished, tmp_path, data_root):
    config, adapted = adapt('prompts')
    out, where = tmp_path / 'half.pth', ['--data-root', str(data_root)]
    command = [finished / 'iter_4.pth', adapted, out, '--config', config]
    run_tool(*command, *where)
    test.main([str(config), str(out), '--work-dir', str(tmp_path / 'test'), *where])
    assert load_file(out)['meta']['interpolation'] == {
        **{'source': 'iter_4.pth', 'adapted': adapted.name, 'alpha': 0.5}
    }
    with pytest.raises(UserError, match='exists: name another file, or replace it with --force'):
        run_tool(*command)


@pytest.mark.slow
def test_what_is_refused(adapt, run_tool, finished, source_config, tmp_path):
    source, (config, adapted) = finished / 'iter_4.pth', adapt('prompts')
    out = tmp_path / 'out.pth'

    def refused(match: str, first: Path, second: Path, config: Path = config) -> None:
        with pytest.raises(UserError, match=match):
            run_tool(first, second, out, '--config', config)
        assert not out.exists()

    refused('is a source model: name a model that was adapted', source, source)
    refused('is an adapted model that holds more', adapted, adapted)
    refused('describes no adaptation', source, adapted, source_config)
    checkpoint = load_file(source)
    other = tmp_path / 'other.pth'
    names = list(checkpoint['meta']['dataset_meta']['classes'])
    renamed = {'dataset_meta': {'classes': names[::-1]}}
    torch.save({**checkpoint, 'meta': renamed}, other)
    refused('classes differ', other, adapted)
    name = next(name for name in checkpoint['state_dict'] if name.endswith('ffn.layers.1.weight'))
    weights = checkpoint['state_dict']
    torch.save({**checkpoint, 'state_dict': {**weights, name: weights[name] + 1}}, other)
    refused(f'was not adapted from .* with the tuner of the config: .*{name[9:]}', other, adapted)
    less = {n: t for n, t in weights.items() if n != name}
    torch.save({**checkpoint, 'state_dict': less}, other)
    refused(f'other.pth does not fit the model. 1 missing: .*{name[9:]}', other, adapted)
