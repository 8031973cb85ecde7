"""Models of mmseg: the same logits from the files that are written of them."""

import ast
import re
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_uvpt.checkpoints.hashes import ADAPTED_FROM
from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.checkpoints.reading import read_file
from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.engine.config.resolve import read as read_config
from mmseg_uvpt.engine.inference.model import source_model
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing.config_files import source_text
from mmseg_uvpt.importing.mmseg_backbones import backbone_as_it_is, staged
from mmseg_uvpt.importing.mmseg_config import plain_values
from mmseg_uvpt.importing.read import read
from mmseg_uvpt.importing.source_model import build, names_of_classes

TOOL = Path(__file__).resolve().parents[2] / 'tools/import_source.py'
WIDTHS = [8, 16, 32, 64]
MAPS = dict(in_channels=WIDTHS, in_index=[0, 1, 2, 3], channels=16, num_classes=19)
SYNC = dict(type='SyncBN', requires_grad=True)
MIT = dict(
    type='MixVisionTransformer',
    embed_dims=8,
    num_layers=[1, 2, 1, 1],
    num_heads=[1, 2, 4, 8],
    init_cfg=dict(type='Pretrained', checkpoint='https://nowhere/mit_b0.pth'),
)
SWIN = dict(
    type='SwinTransformer', embed_dims=8, depths=[2, 2, 2, 2], num_heads=[1, 2, 2, 4], window_size=4
)
RESNET = dict(type='ResNet', depth=18, base_channels=4, norm_cfg=SYNC)
SEGFORMER = dict(type='SegformerHead', **MAPS, norm_cfg=SYNC, dropout_ratio=0.1)
UPER = dict(type='UPerHead', **MAPS, norm_cfg=SYNC, pool_scales=(1, 2))
FCN = dict(type='FCNHead', in_channels=32, in_index=3, channels=16, num_classes=19, norm_cfg=SYNC)
AUXILIARY = dict(FCN, in_index=2)
MODEL = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[1.5, 2, 3], std=[4, 5, 6], bgr_to_rgb=True, size=(64, 64)
    ),
    backbone=MIT,
    decode_head=SEGFORMER,
    auxiliary_head=AUXILIARY,
    train_cfg=None,
    test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)),
)


def built(described: dict):
    """Return a segmentor as mmseg builds it on a CPU."""
    init_default_scope('mmseg')
    described = ast.literal_eval(repr(described).replace('SyncBN', 'BN'))
    described['backbone'].pop('init_cfg', None)
    return MODELS.build(described)


def text_of(**entries) -> str:
    """Return a config as a checkpoint holds it."""
    return '\n'.join(f'{key} = {source_text(value)}' for key, value in entries.items())


@pytest.fixture(scope='module')
def random_model(randomise):
    """Return a function that builds a model once."""
    return cache(lambda text: randomise(built(ast.literal_eval(text))))


@pytest.fixture
def saved(tmp_path, random_model):
    """Return a function that writes a model as mmseg 1.x does; it returns model and file."""

    def save(meta: dict | None = None, **changes):
        described = {**MODEL, **changes}
        model = random_model(repr(described))
        if meta is None:
            text = text_of(model=described, test_pipeline=[dict(scale=(2048, 1024))])
            meta = dict(cfg=text, dataset_meta=dict(classes=CLASSES, palette=[[0, 0, 0]] * 19))
        torch.save(dict(meta=meta, state_dict=model.state_dict()), tmp_path / 'theirs.pth')
        return model, tmp_path / 'theirs.pth'

    return save


@pytest.mark.parametrize(
    ('backbone', 'head'),
    [(MIT, SEGFORMER), (SWIN, UPER), pytest.param(RESNET, FCN, marks=pytest.mark.slow)],
    ids=lambda part: part['type'],
)
def test_logits_are_those_of_mmseg(backbone, head, saved, imported):
    theirs, path = saved(backbone=backbone, decode_head=head)
    source, files = imported(path)
    ours = source_model(read_config(files.source), str(files.checkpoint))
    for size in ((64, 64), (67, 93)):
        image = torch.randn(2, 3, *size)
        with torch.no_grad():
            expected, found = theirs(image, mode='tensor'), ours(image, mode='tensor')
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max())
    assert source.left_out == ['auxiliary_head (20 tensors)']
    assert ours.data_preprocessor.mean.flatten().tolist() == [1.5, 2, 3]
    assert not ours.data_preprocessor.size, 'pads crops of another size'
    # a pyramid pooling ends in one pixel, of which a batch norm needs two in training
    pairs = head is UPER
    assert read_config(files.adaptation).train_dataloader.batch_size == (2 if pairs else 1)
    assert ('needs two images at a time' in source.summary()) == pairs


def test_the_tool(saved, tmp_path, monkeypatch, capsys):
    _, path = saved()
    out = tmp_path / 'out'
    monkeypatch.setattr(sys, 'argv', ['import_source.py', str(path), '--out', str(out)])
    main = runpy.run_path(str(TOOL))['main']
    main()
    said = capsys.readouterr().out
    assert 'classes    19: those of Cityscapes\n' in said
    assert 'mean       1.5, 2, 3 (RGB)\ndeviation  4, 5, 6\n' in said
    assert 'windows of 64 x 64, 32 x 32 apart' in said
    assert 'resize images to 2048 x 1024' in said
    assert f'written    {out}/theirs_to-cityscapes.py\nnext:\n  python test.py ' in said
    assert said.endswith(f'  python train.py {out}/theirs_to-cityscapes.py\n')
    adaptation = read_config(out / 'theirs_to-cityscapes.py')
    assert 'metainfo' not in adaptation
    assert adaptation.model.source_checkpoint == f'{out}/theirs.pth'
    assert adaptation.model.backbone == read_config(out / 'theirs.py').model.backbone
    assert adaptation.optim_wrapper.optimizer.lr == 4e-6
    labels = adaptation.default_hooks.label_correction
    assert labels.pseudo_label_dir == 'data/cityscapes/pretrain/theirs/train'
    meta = read_file(out / 'theirs.pth')['meta']['dataset_meta']
    assert tuple(meta['classes']) == CLASSES
    with pytest.raises(UserError, match=r'theirs\.pth exists: name another file'):
        main()


def test_other_classes_are_named(saved, imported):
    names = ['sky', 'Road', 'sky', *(f'kind {i}' for i in range(3, 19))]
    model = text_of(model=MODEL)
    _, path = saved(meta=dict(cfg=model, dataset_meta=dict(classes=names)))
    source, files = imported(path)
    assert source.classes[:4] == ('sky', 'Road', 'sky (2)', 'kind 3')
    assert files.adaptation.name == 'theirs_adaptation.py'
    for file in files[1:]:
        assert read_config(file).metainfo.classes == list(source.classes)
    assert read_file(files.checkpoint)['meta']['dataset_meta']['classes'] == list(source.classes)
    assert 'no names' not in source.summary()
    assert "labels     to score with hold 0 for 'sky', 1 for 'Road'" in source.summary()


@pytest.mark.parametrize('place', ['top', 'data set', 'checkpoint of 0.x'])
def test_colours_are_those_beside_the_names(saved, place):
    names, colours = [f'kind {i}' for i in range(19)], [[i, 2 * i, 3 * i] for i in range(19)]
    named = dict(classes=names, palette=colours)
    entries = {
        'top': dict(metainfo=named),
        'data set': dict(test_dataloader=dict(dataset=dict(type='BaseSegDataset', metainfo=named))),
    }
    old = dict(CLASSES=names, PALETTE=colours) if place == 'checkpoint of 0.x' else {}
    _, path = saved(meta=dict(cfg=text_of(model=MODEL, **entries.get(place, {})), **old))
    assert read(path).named() == named
    _, path = saved(meta=dict(cfg=text_of(model=MODEL), CLASSES=names, PALETTE=colours[:5]))
    assert read(path).named() == dict(classes=names)


def test_a_checkpoint_of_version_0(saved):
    old = {key: value for key, value in MODEL.items() if key != 'data_preprocessor'}
    norm = dict(mean=[7, 8, 9], std=[1, 2, 3], to_rgb=False)
    text = text_of(model=dict(old, pretrained=None), img_norm_cfg=norm)
    names = [name.upper().replace(' ', '_') for name in CLASSES]
    _, path = saved(meta=dict(config=text, CLASSES=names))
    source = read(path)
    assert source.classes == CLASSES
    inputs = source.model['data_preprocessor']
    assert (inputs['mean'], inputs['std']) == ([7, 8, 9], [1, 2, 3])
    assert not inputs.get('bgr_to_rgb')


def test_a_config_file_counts_and_names_its_data_set(saved, tmp_path):
    config = tmp_path / 'theirs.py'
    config.write_text(f"model = {MODEL!r}\ndataset_type = 'PascalVOCDataset'\nstride = 2 * 2\n")
    text = text_of(model=dict(MODEL, type='CascadeEncoderDecoder'))
    _, path = saved(meta=dict(cfg=text))
    source = read(path, config)
    assert source.classes[18] == 'class 18', 'the data set has 21 classes, not 19'
    assert 'no names   of the classes are known' in source.summary()
    with pytest.raises(UserError, match='the model is a CascadeEncoderDecoder'):
        read(path)


def test_a_backbone_that_cannot_be_prompted(saved, imported):
    _, path = saved(backbone=RESNET, decode_head=FCN)
    source, files = imported(path)
    assert re.search(r'no prompts ResNet is none of .*tuner=dict\(type=.Head.\)', source.summary())
    adaptation = Config.fromfile(files.adaptation, import_custom_modules=False)
    assert adaptation.model.tuner == dict(type='Head')
    assert adaptation.model.backbone == dict(RESNET, norm_cfg=dict(SYNC, type='BN'))


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (dict(SWIN, out_indices=(0, 1, 2)), r'has out_indices=\(0, 1, 2\), the staged one'),
        (dict(MIT, act_cfg=dict(type='ReLU')), 'MixVisionTransformer has act_cfg='),
        (dict(type='mmpretrain.ConvNeXt', arch='huge'), 'has out_indices=-1'),
    ],
)
def test_variations_that_the_staged_one_lacks(change, reason, tmp_path):
    text = text_of(model=dict(MODEL, backbone=change))
    torch.save(dict(meta=dict(cfg=text), state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    assert re.search(reason, read(tmp_path / 'a.pth').not_staged)


RUN = "model = dict(type=__import__('os').system('touch ran'))"
WRONG = {
    'a program': (dict(cfg=RUN), r'within .* is more than plain values .*, and is not run: '),
    'none': ({}, r'holds no config .*: name the one it was trained with by --config'),
    'no head': (dict(cfg='model = dict(type="EncoderDecoder")'), 'model.backbone must be one'),
    'no mean': (dict(cfg=f'model = {dict(MODEL, data_preprocessor=None)!r}'),
                'has no mean and std of the inputs'),
}  # fmt: skip


@pytest.mark.parametrize('case', WRONG)
def test_what_cannot_be_read_is_said(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meta, told = WRONG[case]
    torch.save(dict(meta=meta, state_dict=dict(a=torch.ones(1))), 'theirs.pth')
    with pytest.raises(UserError, match=told):
        read(Path('theirs.pth'))
    assert not Path('ran').exists()


def test_no_code_of_a_checkpoint_gets_into_a_config(saved, imported, tmp_path, monkeypatch):
    """Its texts and names are written as texts."""
    monkeypatch.chdir(tmp_path)
    evil = {"a': __import__('os').system('touch ran'), 'b": 1, 'mode': 'whole'}
    text = f'model = {dict(MODEL, test_cfg=evil)!r}'
    _, path = saved(meta=dict(cfg=text))
    _, files = imported(path)
    assert read_config(files.source).model.test_cfg == evil
    assert not Path('ran').exists()


def test_a_checkpoint_that_does_not_fit(saved, tmp_path):
    _, path = saved()
    loaded = torch.load(path)
    del loaded['state_dict']['backbone.layers.0.1.0.attn.attn.in_proj_weight']
    torch.save(loaded, path)
    with pytest.raises(UserError, match=r'does not fit the model\. 2 missing: backbone\.block1'):
        build(read(path))


def test_heads_without_logits(saved):
    _, path = saved()
    source = read(path)
    source.classes = source.classes[:18]
    with pytest.raises(
        UserError, match=r'SegformerHead, in train mode, gives \(1, 19, 64, 64\), not .*18'
    ):
        build(source)


def test_a_head_that_states_no_classes(tmp_path):
    text = text_of(model=dict(MODEL, decode_head=dict(type='IterativeDecodeHead')))
    torch.save(dict(meta=dict(cfg=text), state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    with pytest.raises(UserError, match='IterativeDecodeHead, states no num_classes'):
        read(tmp_path / 'a.pth')


def test_names():
    assert names_of_classes(None, 2) == ('class 0', 'class 1')
    with pytest.raises(UserError, match="another order, id 0 is 'bicycle' instead of 'road'"):
        names_of_classes(CLASSES[::-1], 19)
    with pytest.raises(UserError, match='has 300 names'):
        names_of_classes(None, 300)


def test_the_text_that_mmengine_writes():
    values = dict(model=MODEL, x={'a b': [(1.5, None)], 'c': {}}, y=dict(z=dict(a=-1, b='c')))
    assert plain_values(Config(values).pretty_text) == values


def test_text_of_values():
    value = dict(a=(1,), b={'c d': [True, None]}, e=dict(f='g' * 90, h=(1, 2)), i=-1.5)
    assert plain_values(f'x = {source_text(value)}') == dict(x=value)
    assert source_text(dict(a=[1, 2], b='c')) == "dict(a=[1, 2], b='c')"
    assert max(map(len, source_text(value).splitlines())) <= 103


def test_convnext_of_mmpretrain():
    """Names are those of mmpretrain 1.2, with which features agreed when this was written."""
    arch = dict(depths=[1, 1, 2, 1], channels=WIDTHS)
    given = dict(type='mmpretrain.ConvNeXt', arch=arch, out_indices=[0, 1, 2, 3])
    described, _ = staged(dict(given, gap_before_final_norm=False), {})
    expected = MODELS.build(described).state_dict()
    theirs = {}
    for name, tensor in expected.items():
        for ours, other in (
            *((r'^net\.stem', 'downsample_layers.0'), (r'\.mlp\.fc', '.pointwise_conv')),
            *((r'^net\.stages\.(\d)\.downsample', r'downsample_layers.\1'), (r'^net\.', '')),
            *((r'\.blocks\.', '.'), ('conv_dw', 'depthwise_conv'), (r'^stage_norms\.', 'norm')),
        ):
            name = re.sub(ours, other, name)
        theirs[name] = (
            tensor[..., None, None] if 'pointwise' in name and tensor.ndim > 1 else tensor
        )
    assert 'downsample_layers.3.1.weight' in theirs
    assert 'stages.2.1.pointwise_conv2.bias' in theirs
    _, found = staged(dict(given, gap_before_final_norm=False), theirs)
    assert {k: t.shape for k, t in found.items()} == {k: t.shape for k, t in expected.items()}


def test_names_that_an_adapted_model_has_too_stay_in_a_model_of_mmseg(tmp_path):
    """ViT-Adapter calls its parts as released adapted models do; it is no adapted model."""
    described = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[1, 2, 3], std=[4, 5, 6]),
        backbone=dict(type='ResNetV1c', depth=18),
        decode_head=dict(type='FCNHead', in_channels=512, channels=8, num_classes=19),
    )
    names = ['backbone.interactions.0.extractor.weight', 'backbone.spm.stem.0.weight']
    tensors = {f'module.{name}': torch.zeros(1) for name in names}
    path = tmp_path / 'theirs.pth'
    torch.save(dict(meta=dict(cfg=f'model = {described!r}'), state_dict=tensors), path)
    assert [*read(path).state_dict] == names


def test_what_a_model_was_adapted_from_goes_with_it(saved, imported):
    """An adapted model without tensors of a tuner is a source model again."""
    _, path = saved()
    loaded = torch.load(path, weights_only=False)
    loaded['meta'][ADAPTED_FROM] = ['a hash', 'another']
    torch.save(loaded, path)
    _, files = imported(path)
    assert load_file(files.checkpoint)['meta'][ADAPTED_FROM] == ['a hash', 'another']


def test_a_backbone_that_downloads_by_default_is_told_not_to():
    @MODELS.register_module()
    class LoadsByDefault(torch.nn.Module):
        def __init__(self, width: int, pretrained: bool = True):
            super().__init__()

    try:
        found = backbone_as_it_is({'type': 'LoadsByDefault', 'width': 3, 'pretrained': True})
        assert found == {'type': 'LoadsByDefault', 'width': 3, 'pretrained': False}
    finally:
        MODELS.module_dict.pop('LoadsByDefault')
    assert backbone_as_it_is({'type': 'ResNet', 'depth': 18}) == {'type': 'ResNet', 'depth': 18}
