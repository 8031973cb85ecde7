"""Folders of transformers: parity with that library where it is installed, and what is refused."""

import json

import pytest
import torch
import torch.nn.functional as F
from mmseg.models.utils.embed import PatchMerging
from torch import nn

from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.engine.config.resolve import read as read_config
from mmseg_uvpt.engine.inference.model import source_model
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing.from_transformers import _labels
from mmseg_uvpt.importing.read import read
from mmseg_uvpt.importing.upernet import in_order_of_mmseg

STAGES = ['stage1', 'stage2', 'stage3', 'stage4']
WIDTHS = [8, 16, 24, 32]
SEGFORMER = dict(
    hidden_sizes=WIDTHS,
    depths=[1, 2, 1, 1],
    num_attention_heads=[1, 2, 3, 4],
    decoder_hidden_size=16,
)
SWIN = dict(embed_dim=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4], window_size=4)
CONVNEXT = dict(hidden_sizes=WIDTHS, depths=[1, 1, 2, 1])


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a folder's JSON files, and weights that fit no model."""

    def write(config: dict, **files: dict):
        (tmp_path / 'config.json').write_text(json.dumps(config))
        for name, contents in files.items():
            (tmp_path / f'{name}.json').write_text(json.dumps(contents))
        head = {'decode_head.classifier.bias': torch.zeros(19)}
        torch.save(head, tmp_path / 'pytorch_model.bin')
        return tmp_path

    return write


def made(kind: str, labels: int):
    """Return a small model of transformers."""
    transformers = pytest.importorskip('transformers')
    about = dict(num_labels=labels)
    if kind == 'segformer':
        config = transformers.SegformerConfig(**SEGFORMER, **about)
        return transformers.SegformerForSemanticSegmentation(config)
    kind, within, third = {
        'swin': (transformers.SwinConfig, SWIN, 32),
        'convnext': (transformers.ConvNextConfig, CONVNEXT, 24),
    }[kind]
    within = kind(**within, out_features=STAGES)
    about |= dict(hidden_size=16, auxiliary_in_channels=third)
    config = transformers.UperNetConfig(backbone_config=within, **about)
    return transformers.UperNetForSemanticSegmentation(config)


@pytest.mark.slow
@pytest.mark.parametrize('in_parts', [False, True])
@pytest.mark.parametrize('kind', ['segformer', 'swin', 'convnext'])
def test_logits_are_those_of_transformers(kind, in_parts, randomise, imported, tmp_path):
    theirs = randomise(made(kind, 5))
    how = dict(max_shard_size='20KB') if in_parts else {}
    theirs.save_pretrained(tmp_path / 'theirs', **how)
    assert len(list((tmp_path / 'theirs').glob('*.safetensors'))) > in_parts
    source, files = imported(tmp_path / 'theirs')
    ours = source_model(read_config(files.source), str(files.checkpoint))
    for size in ((64, 64), (67, 93), (65, 150)):
        image = 0.1 * torch.randn(2, 3, *size)  # small ones show an eps
        with torch.no_grad():
            expected, found = theirs(image).logits, ours(image, mode='tensor')
            if kind != 'segformer':  # they are resized to the image there
                found = F.interpolate(found, size=size, mode='bilinear', align_corners=False)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max())
    assert bool(source.left_out) == (kind != 'segformer')


def test_patch_merging_in_the_order_of_mmseg():
    """`transformers` and the paper's own code take four pixels column by column, each whole."""
    torch.manual_seed(0)
    theirs, ours = nn.Linear(32, 16, bias=False), PatchMerging(8, 16)
    norm = nn.LayerNorm(32)
    nn.init.normal_(norm.weight)
    ours.reduction.weight.data = in_order_of_mmseg(theirs.weight.data)
    ours.norm.weight.data = in_order_of_mmseg(norm.weight.data)
    image = torch.randn(1, 6, 4, 8)
    four = [image[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    expected = theirs(norm(torch.cat(four, -1))).flatten(1, 2)
    torch.testing.assert_close(ours(image.flatten(1, 2), (6, 4))[0], expected)


def test_classes_and_inputs(folder):
    names = {str(i): name.title() for i, name in enumerate(CLASSES)}
    size = dict(height=768, width=769)
    about = dict(image_mean=[0.5, 0, 1], image_std=[0.25] * 3, rescale_factor=0.5, size=size)
    path = folder(dict(model_type='segformer', id2label=names), preprocessor_config=about)
    source = read(path / 'pytorch_model.bin')
    assert source.classes == CLASSES
    gap = {str(i + 1): name for i, name in enumerate(CLASSES)}
    assert _labels({'id2label': gap}) is None  # whose is which nobody could say
    inputs = source.model['data_preprocessor']
    assert (inputs['mean'], inputs['std'], inputs['bgr_to_rgb']) == ([1, 0, 2], [0.5] * 3, True)
    assert 'resized to 769 x 768' in source.notes[0]
    (path / 'preprocessor_config.json').unlink()
    source = read(path)
    assert source.model['data_preprocessor']['mean'] == [123.675, 116.28, 103.53]
    assert "mean and deviation are ImageNet's" in source.notes[0]


WRONG = {
    'another': (
        dict(model_type='mask2former'),
        "'mask2former'; what is read is segformer, upernet",
    ),
    'its backbone': (
        dict(model_type='upernet', backbone_config=dict(model_type='beit')),
        r"'beit'; what is read is swin, convnext\. .*tuner=dict\(type='Head'\)",
    ),
    'activation': (dict(model_type='segformer', hidden_act='relu'), "hidden_act is 'relu'"),
    'stages': (dict(model_type='segformer', depths=[1, 2]), r'depths is \[1, 2\]; a model of 4'),
    'positions': (
        dict(
            model_type='upernet',
            backbone_config=dict(model_type='swin', use_absolute_embeddings=True),
        ),
        'backbone_config.use_absolute_embeddings is True; a model is read where it is False',
    ),
}


@pytest.mark.parametrize('case', WRONG)
def test_what_cannot_be_read_is_said(case, folder):
    config, told = WRONG[case]
    path = folder(config)
    with pytest.raises(UserError, match=told) as error:
        read(path)
    assert str(error.value).startswith(f'{path}/config.json: ')


def test_folders_without_a_model(folder, tmp_path):
    with pytest.raises(UserError, match=r'config\.json does not exist: the folder is one that'):
        read(tmp_path)
    path = folder(dict(model_type='segformer'))
    torch.save({'classifier.bias': torch.zeros(3)}, path / 'pytorch_model.bin')
    with pytest.raises(UserError, match='holds no segmentation head'):
        read(path)
    (path / 'pytorch_model.bin').unlink()
    with pytest.raises(UserError, match=r'none of model\.safetensors or pytorch_model\.bin'):
        read(path)
    with pytest.raises(UserError, match='whose models are files: name the checkpoint'):
        read(path, path / 'config.json')
