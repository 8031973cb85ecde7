"""`tools/export_model.py`: files that run without this project and say what the model says."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

import mmseg_uvpt
from mmseg_uvpt.commands import export_model
from mmseg_uvpt.deployment import comparison_with_eager, formats
from mmseg_uvpt.deployment.comparison_with_eager import difference, differences, require_same
from mmseg_uvpt.deployment.exported_network import ExportedNetwork, eager_logits
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference import exported as exporting
from mmseg_uvpt.engine.inference.exported import resize_before
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.engine.inference.model import source_model
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.nested import parts_of_type

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = [(64, 96), (71, 136), (167, 65), (94, 95)]
CONFIG = """
_base_ = {base!r}
model = dict(
    backbone=dict(_delete_=True, type='OneConvolution'),
    decode_head=dict(
        _delete_=True, type='FCNHead', in_channels=8, in_index=0, channels=8, num_classes=19,
        num_convs=1, concat_input=False, norm_cfg=dict(type='BN'),
    ),
)
"""
WITHOUT = """
import sys
class Block:
    def find_spec(self, name, *_):
        if name.partition('.')[0] in {blocked!r}:
            raise ImportError(f'{{name}} is blocked')
sys.meta_path.insert(0, Block())
"""


@MODELS.register_module()
class OneConvolution(nn.Module):
    """Pads images to whole strides, as backbones do, and halves them twice."""

    def __init__(self, **_):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 4, 1)

    def forward(self, x):
        height, width = (-(-side // 4) * 4 - side for side in x.shape[2:])
        return (self.conv(F.pad(x, (0, width, 0, height))),)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A config, a checkpoint and a photograph."""
    folder = tmp_path_factory.mktemp('model')
    base = str(REPOSITORY / 'configs/demo/pretrain_swin-nano.py')
    (folder / 'config.py').write_text(CONFIG.format(base=base))
    torch.manual_seed(0)
    init_default_scope('mmseg')
    model = MODELS.build(Config.fromfile(folder / 'config.py').model)
    nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.save({'state_dict': model.state_dict()}, folder / 'model.pth')
    noise = np.random.default_rng(0).integers(0, 256, (9, 12, 3)).astype(np.uint8)
    cv2.imwrite(str(folder / 'photo.png'), cv2.resize(noise, (300, 190)))
    return folder


@pytest.fixture
def segmentor(folder):
    return source_model(read(folder / 'config.py'), str(folder / 'model.pth'))


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', ['export_model.py', *map(str, arguments)])
    export_model.main()


def exported(folder: Path, suffix: str) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        out = folder / f'model{suffix}'
        call(patch, folder / 'config.py', folder / 'model.pth', '--out', out)
    return out


@pytest.fixture(scope='module')
def pt2(folder) -> Path:
    """A file made by the command."""
    return exported(folder, '.pt2')


@pytest.fixture(scope='module')
def onnx(folder) -> Path:
    """A file made by the command."""
    for package in ('onnx', 'onnxruntime', 'onnxscript'):
        pytest.importorskip(package)
    return exported(folder, '.onnx')


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_the_network_says_what_a_test_sees(segmentor, bgr_to_rgb):
    segmentor.data_preprocessor._channel_conversion = bgr_to_rgb
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    sample = SegDataSample(metainfo={'ori_shape': (64, 96)})
    (result,) = predict(segmentor, [{'inputs': [image], 'data_samples': [sample]}])
    rgb = image.flip(0)[None]
    network = ExportedNetwork(segmentor)
    torch.testing.assert_close(network(rgb)[0], result.logits)
    torch.testing.assert_close(eager_logits(segmentor, rgb)[0], result.logits)
    assert network.in_rgb(network.mean) == pytest.approx(
        [123.675, 116.28, 103.53] if bgr_to_rgb else [103.53, 116.28, 123.675]
    )


def test_a_preprocessor_that_augments_does_not_in_a_file(segmentor):
    described = dict(type='AugmentingPreprocessor', mean=[1, 2, 3], std=[4, 5, 6])
    segmentor.data_preprocessor = MODELS.build(described | {'bgr_to_rgb': True})
    images = torch.randint(0, 256, (2, 3, 40, 48), dtype=torch.uint8)
    expected = eager_logits(segmentor, images)
    torch.testing.assert_close(ExportedNetwork(segmentor)(images), expected)


def assert_same(run, segmentor) -> None:
    found = differences(partial(eager_logits, segmentor), run, SIZES)
    assert [each.size for each in found] == SIZES
    assert max(each.logits for each in found) < 1e-4
    require_same(found)


def test_a_pt2_agrees_with_the_model_at_all_sizes(pt2, segmentor):
    assert_same(formats.run_pt2(pt2.read_bytes()), segmentor)


def test_onnx_agrees_with_the_model_at_all_sizes(onnx, segmentor):
    assert_same(formats.run_onnx(onnx.read_bytes()), segmentor)


@pytest.mark.slow
def test_a_pt2_needs_torch_alone(pt2, segmentor):
    blocked = ('mmseg_uvpt', 'mmseg', 'mmengine', 'mmcv', 'timm', 'torchvision')
    code = WITHOUT.format(blocked=blocked) + (
        'import torch\n'
        'extra = {"metadata.json": ""}\n'
        'model = torch.export.load("model.pt2", extra_files=extra).module()\n'
        'images = torch.arange(3 * 65 * 70).remainder(256).view(1, 3, 65, 70).to(torch.uint8)\n'
        'torch.save((images, model(images), extra), "found.pt")\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=pt2.parent)
    images, logits, extra = torch.load(pt2.parent / 'found.pt')
    torch.testing.assert_close(logits, eager_logits(segmentor, images))
    assert_says_all(json.loads(extra['metadata.json']))


def assert_says_all(about: dict[str, str]) -> None:
    assert json.loads(about['classes'])[:2] == ['road', 'sidewalk']
    assert json.loads(about['palette'])[0] == [128, 64, 128]
    assert json.loads(about['mean']) == pytest.approx([123.675, 116.28, 103.53])
    assert json.loads(about['std']) == pytest.approx([58.395, 57.12, 57.375])
    assert json.loads(about['resize']) == {'scale': [320, 160], 'keep_ratio': True}
    assert (about['fixed_size'], about['precision']) == ('null', 'float32')
    assert 'red, green, blue' in about['input']
    assert 'corners aligned: false' in about['resize_of_logits']


def test_onnx_says_what_it_needs(onnx):
    assert_says_all(metadata_in(onnx.read_bytes()))


def metadata_in(data: bytes) -> dict[str, str]:
    model = pytest.importorskip('onnx').load_from_string(data)
    return {entry.key: entry.value for entry in model.metadata_props}


def test_the_example_predicts_as_a_test_does(onnx):
    folder, example = onnx.parent, REPOSITORY / 'examples/predict_onnx.py'
    blocked = ('torch', 'torchvision', 'mmseg_uvpt', 'mmseg', 'mmengine', 'mmcv', 'timm', 'onnx')
    code = WITHOUT.format(blocked=blocked) + (
        'import runpy\n'
        'sys.argv = ["predict_onnx.py", "model.onnx", "photo.png"]\n'
        f'runpy.run_path({str(example)!r}, run_name="__main__")\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=folder)
    model = mmseg_uvpt.load(folder / 'config.py', folder / 'model.pth')
    label = model(folder / 'photo.png').classes
    found = cv2.imread(str(folder / 'photo_classes.png'), cv2.IMREAD_UNCHANGED)
    assert len(np.unique(label)) > 3
    assert (found != label).mean() < 1e-3  # OpenCV rounds otherwise
    assert cv2.imread(str(folder / 'photo_seen.png')).shape == (190, 300, 3)


def test_int8_keeps_most_labels_and_says_so(onnx, tmp_path, monkeypatch, capsys):
    """The file that is quantised is not made again."""
    data, out, folder = onnx.read_bytes(), tmp_path / 'int8.onnx', onnx.parent
    monkeypatch.setattr(formats, 'exported_program', lambda *_: None)
    monkeypatch.setattr(formats, 'smallest_size', lambda _: (2, 2))
    monkeypatch.setattr(formats, 'onnx_bytes', lambda *_: data)
    town = tmp_path / 'data/cityscapes/leftImg8bit/train/town'
    town.mkdir(parents=True)
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (8, 16, 3)).astype(np.uint8)
        image = cv2.resize(noise, (320, 160))
        cv2.imwrite(str(town / f'town_{number:06}_000019_leftImg8bit.png'), image)
    options = ('--out', out, '--int8', '--data-root', tmp_path / 'data')
    call(monkeypatch, folder / 'config.py', folder / 'model.pth', *options)
    said = re.search(r'int8, by 3 images of .*: ([\d.]+)%', capsys.readouterr().out)
    assert 90 < float(said[1]) < 100
    small = out.read_bytes()
    graph = pytest.importorskip('onnx').load_from_string(small).graph
    assert {'QuantizeLinear', 'DequantizeLinear'} <= {node.op_type for node in graph.node}
    assert metadata_in(small) == {**metadata_in(data), 'precision': 'int8'}


def test_a_fixed_size(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'fixed.pt2'
    size = ('--fixed-size', '48', '80')
    call(monkeypatch, folder / 'config.py', folder / 'model.pth', '--out', out, *size)
    assert 'images of 48 x 80 only' in capsys.readouterr().out
    run = formats.run_pt2(out.read_bytes())
    assert run(torch.zeros(3, 3, 48, 80, dtype=torch.uint8)).shape == (3, 19, 48, 80)
    with pytest.raises((AssertionError, RuntimeError), match='96'):
        run(torch.zeros(1, 3, 48, 96, dtype=torch.uint8))


def test_nothing_is_written_of_a_file_that_differs(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_with_eager, 'TOLERANCE', -1.0)
    out = tmp_path / 'sub' / 'fixed.pt2'
    with pytest.raises(UserError, match=r'differs from the model at 48 x 80: by .* Nothing was'):
        call(
            monkeypatch,
            *(folder / 'config.py', folder / 'model.pth', '--out', out),
            *('--fixed-size', '48', '80'),
        )
    assert not list(tmp_path.rglob('*'))


def test_a_pt2_that_refuses_the_images_of_its_config_is_none(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, 'exported_program', lambda *_: None)
    monkeypatch.setattr(formats, 'smallest_size', lambda _: (257, 257))
    with pytest.raises(UserError, match='257 x 257 and larger: --fixed-size 160 320'):
        call(monkeypatch, folder / 'config.py', folder / 'model.pth', '--out', tmp_path / 'a.pt2')
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_traced_is_named(segmentor, monkeypatch):
    def data_dependent(self, x):
        return (self.conv(x[:, :, : int(x.sum())]),)

    monkeypatch.setattr(OneConvolution, 'forward', data_dependent)
    with pytest.raises(UserError, match=r'OneConvolution cannot .* open sizes: .*--fixed-size'):
        formats.exported_program(ExportedNetwork(segmentor))


def test_a_number_that_is_none_differs():
    expected = torch.ones(1, 2, 3, 3)
    assert difference((3, 3), expected, torch.full_like(expected, torch.nan)).logits == float('inf')
    assert difference((3, 3), 4 * expected, 5 * expected).logits == 0.25


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--out', 'model.pth'], r'must end in \.pt2 or \.onnx'),
        (['--out', 'model.pt2', '--int8'], r'must end in \.onnx'),
        (['--out', '.'], r'must end in'),
        (['--out', 'a.pt2', '--cfg-options', 'model.test_cfg.mode=slide'], 'test_cfg.mode=whole'),
        (['--out', 'a.pt2', '--cfg-options', 'model.decode_head.channels=9'], 'model.pth'),
    ],
)
def test_what_cannot_be_exported_is_refused(folder, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        call(monkeypatch, folder / 'config.py', folder / 'model.pth', *options)
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_when_told(folder, tmp_path, monkeypatch):
    out = tmp_path / 'there.pt2'
    out.write_text('precious')
    with pytest.raises(UserError, match='--force'):
        call(monkeypatch, folder / 'config.py', folder / 'model.pth', '--out', out)
    assert out.read_text() == 'precious'


def test_a_missing_package_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(UserError, match=r"pip install 'mmseg-uvpt\[export\]'"):
        call(monkeypatch, folder / 'config.py', folder / 'model.pth', '--out', tmp_path / 'a.onnx')


@pytest.mark.parametrize(
    'more',
    [
        dict(type='RandomFlip', prob=1.0),
        dict(type='ResizeToMultiple', size_divisor=32),
        dict(type='mmseg.ResizeShortestEdge', scale=64, max_size=128),
    ],
    ids=lambda step: step['type'],
)
def test_images_that_are_more_than_resized_are_refused(folder, more):
    cfg = read(folder / 'config.py')
    cfg.test_dataloader.dataset.pipeline.insert(2, more)
    with pytest.raises(UserError, match=more['type'].rpartition('.')[2]):
        resize_before(cfg)


def test_how_images_are_resized(folder):
    cfg = read(folder / 'config.py')
    (step,) = parts_of_type(cfg.test_dataloader.dataset.pipeline, 'Resize')
    step.scale = 96
    assert resize_before(cfg)['scale'] == [96, 96]
    step.interpolation = 'nearest'
    with pytest.raises(UserError, match='of Resize interpolation'):
        resize_before(cfg)


def test_images_that_calibrate_a_file_of_one_size_have_that_size():
    """As bytes that lie between those of the image; of open sizes they stay as they are."""
    image = torch.randint(50, 200, (1, 3, 20, 31), dtype=torch.uint8)
    found = exporting._at((16, 24), image)
    assert found.shape == (1, 3, 16, 24)
    assert found.dtype == torch.uint8
    assert image.min() <= found.min() < found.max() <= image.max()
    assert exporting._at(None, image) is image
