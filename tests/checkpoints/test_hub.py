"""Weights of timm by their names on the hub: from its cache, and what is said without them."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import errors
from mmseg.registry import MODELS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.checkpoints.hub import hub_file, is_hub_name, local_file, require_findable
from mmseg_uvpt.checkpoints.loading import load_imagenet_weights
from mmseg_uvpt.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[2]
NAME = 'timm/convnext_base.fb_in22k'
ADDRESS = 'https://huggingface.co/timm/convnext_base.fb_in22k/resolve/main/model.safetensors'
CURE = (
    'put it here, say as model/convnext_base.fb_in22k.safetensors, and name it: --cfg-options '
    'model.backbone.init_cfg.checkpoint=model/convnext_base.fb_in22k.safetensors'
)
SMALL = dict(depths=(1, 1, 2, 1), dims=(16, 32, 64, 128))


def fill_cache(home: Path, tensors: dict, name: str = NAME) -> Path:
    """Write what a download leaves below ``HF_HOME``."""
    repository = home / 'hub' / f'models--{name.replace("/", "--")}'
    path = repository / 'snapshots/0123abc/model.safetensors'
    path.parent.mkdir(parents=True)
    safetensors.torch.save_file(tensors, path)
    (repository / 'refs').mkdir()
    (repository / 'refs/main').write_text('0123abc')
    return path


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A cache of the hub that is empty."""
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path / 'home/hub'))
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', False)
    return tmp_path / 'home'


@pytest.fixture
def hub(home, monkeypatch):
    """A hub that answers every download with its ``answer``: an error, or a path."""
    hub = SimpleNamespace(answer=None, asked=[])

    def download(repository: str, file: str) -> str:
        hub.asked.append((repository, file))
        if isinstance(hub.answer, Exception):
            raise hub.answer
        return str(hub.answer)

    monkeypatch.setattr(huggingface_hub, 'hf_hub_download', download)
    return hub


def http_error(kind: type, status: int) -> Exception:
    response = SimpleNamespace(headers={}, status_code=status, request=None)
    return kind(f'{status} Client Error', response=response)


def test_names_and_files():
    assert is_hub_name(NAME)
    assert not any(map(is_hub_name, ('timm/mine.pth', Path('timm/mine.safetensors'), 'model/x.y')))
    assert local_file('timm/mine.pth') == Path('timm/mine.pth')
    assert hub_file('timm/convnext_base').repository == 'timm/convnext_base.fb_in22k_ft_in1k'
    assert hub_file(NAME).address == ADDRESS


def test_what_is_in_the_cache_is_loaded(home, hub):
    torch.manual_seed(0)
    saved = timm.create_model('convnext_base', **SMALL).state_dict()
    path = fill_cache(home, saved)
    backbone = MODELS.build(dict(type='TimmConvNeXt', model='convnext_base', **SMALL))
    load_imagenet_weights(backbone, NAME)
    assert torch.equal(backbone.net.stem[0].weight, saved['stem.0.weight'])
    assert local_file(NAME) == path
    assert not hub.asked


def test_a_download_is_announced(hub, tmp_path, capsys):
    hub.answer = tmp_path / 'weights'
    hub.answer.write_bytes(b'0' * 2_000_000)
    assert local_file(NAME) == hub.answer
    assert hub.asked == [('timm/convnext_base.fb_in22k', 'model.safetensors')]
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f'downloading {ADDRESS}', f'downloaded 2 MB: {hub.answer}']


@pytest.mark.parametrize(
    ('answer', 'reason'),
    [
        (
            http_error(errors.GatedRepoError, 403),
            'its terms have to be accepted first, at https://huggingface.co/'
            'timm/convnext_base.fb_in22k, then: hf auth login',
        ),
        (http_error(errors.RepositoryNotFoundError, 401), 'the hub has no such repository'),
        (http_error(errors.HfHubHTTPError, 503), '503 Client Error'),
        (errors.LocalEntryNotFoundError('Check your connection.\n'), 'Check your connection'),
        (OSError(28, 'No space left on device'), r'\[Errno 28\] No space left on device'),
    ],
    ids=['gated', 'no repository', 'server', 'offline', 'full disk'],
)
def test_what_cannot_be_downloaded_can_be_put_there(hub, answer, reason):
    hub.answer = answer
    with pytest.raises(UserError, match=f'cannot download {ADDRESS}: {reason}.*{CURE}$'):
        local_file(NAME)


def test_where_the_hub_is_not_to_be_asked(hub, home, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    for find in (local_file, require_findable):
        with pytest.raises(UserError, match=f'{ADDRESS}: HF_HUB_OFFLINE is set.*{CURE}$'):
            find(NAME)
    assert not hub.asked
    path = fill_cache(home, {'a': torch.zeros(1)})
    require_findable(NAME)
    assert local_file(NAME) == path


def test_names_that_timm_does_not_know(hub):
    with pytest.raises(UserError, match=r"no weights 'convnext_base\.in23k'.*clip_laion2b, .*fb_"):
        local_file('timm/convnext_base.in23k')
    with pytest.raises(UserError, match=r"has no model 'convnext_bse\.x'; it has convnext_atto"):
        local_file('timm/convnext_bse.x')
    assert not hub.asked


def test_files_of_a_models_authors(tmp_path):
    """Names are translated and positions resized as timm does."""
    backbone = MODELS.build(dict(type='TimmConvNeXt', model='convnext_base', **SMALL))
    saved = timm.create_model('convnext_base', **SMALL).state_dict()
    theirs = {'stem.': 'downsample_layers.0.', '.blocks.': '.', 'conv_dw': 'dwconv'}
    theirs |= {'mlp.fc': 'pwconv', 'head.norm': 'norm', 'head.fc': 'head'}
    named = {}
    for name, tensor in saved.items():
        name = re.sub(r'stages\.(\d)\.downsample', r'downsample_layers.\1', name)
        for ours, their in theirs.items():
            name = name.replace(ours, their)
        named[name] = tensor
    torch.save({'model': named}, tmp_path / 'authors.pth')
    load_imagenet_weights(backbone, tmp_path / 'authors.pth')
    last = 'stages.3.blocks.0.mlp.fc2.weight'
    assert torch.equal(backbone.net.state_dict()[last], saved[last])

    small = dict(embed_dim=32, depth=4, num_heads=2)
    saved = timm.create_model('vit_tiny_patch16_224', img_size=64, **small)
    torch.save(saved.state_dict(), tmp_path / 'vit.pth')
    vit = MODELS.build(dict(type='TimmViT', model='vit_tiny_patch16_224', img_size=96, **small))
    load_imagenet_weights(vit, tmp_path / 'vit.pth')
    assert torch.equal(vit.net.blocks[3].mlp.fc1.bias, saved.blocks[3].mlp.fc1.bias)
    assert torch.equal(vit.net.pos_embed[:, 0], saved.pos_embed[:, 0])
    assert vit.net.pos_embed.shape == (1, 37, 32)


@pytest.mark.slow
def test_the_door(tmp_path):
    """``pretrain.py`` says what is missing before it reads data, in one line."""
    command = [sys.executable, 'pretrain.py', 'configs/foundation/pretrain/sss_convnext-b_gta5.py']
    folders = ('gta', 'cityscapes')
    for folder in folders:
        (tmp_path / 'data' / folder).mkdir(parents=True)
    command += ['--data-root', str(tmp_path / 'data'), '--work-dir', str(tmp_path / 'work')]
    environment = os.environ | {'HF_HOME': str(tmp_path / 'home'), 'HF_HUB_OFFLINE': '1'}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f'error: cannot download {ADDRESS}: HF_HUB_OFF')
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'work').exists()
