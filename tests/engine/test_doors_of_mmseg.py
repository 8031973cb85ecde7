"""mmengine's and mmseg's own ways to load and to predict, with any file that our scripts accept."""

import warnings

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import Runner
from mmseg.apis import MMSegInferencer, inference_model, init_model, show_result_pyplot

from mmseg_uvpt.checkpoints import export
from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.checkpoints.reading import read_file, write_file

SIZES = ((32, 48), (64, 40), (64, 40), (20, 90))


@pytest.fixture(scope='module')
def config(source_config, tmp_path_factory) -> str:
    """The tiny recipe with the pipeline that mmseg's functions look at."""
    cfg = Config.fromfile(source_config)
    first = {'type': 'LoadImageFromFile', '_scope_': 'mmseg_uvpt'}
    cfg.test_pipeline = [first, *cfg.test_dataloader.dataset.pipeline[1:]]
    cfg.test_dataloader.dataset.pipeline = cfg.test_pipeline
    path = tmp_path_factory.mktemp('doors') / 'config.py'
    cfg.dump(path)
    return str(path)


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> list[str]:
    """Paths of images of several sizes."""
    folder = tmp_path_factory.mktemp('images')
    for i, (height, width) in enumerate(SIZES):
        pixels = np.random.default_rng(i).integers(0, 255, (height, width, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), pixels)
    return [str(folder / f'{i}.png') for i in range(len(SIZES))]


@pytest.fixture(scope='module')
def checkpoint(finished) -> str:
    return str(finished / 'iter_4.pth')


@pytest.fixture(scope='module')
def labels(config, checkpoint, images) -> list[np.ndarray]:
    """What is predicted for the images one by one."""
    model = init_model(config, checkpoint, device='cpu')
    return [label(inference_model(model, image)) for image in images]


def label(result) -> np.ndarray:
    return result.pred_sem_seg.data[0].numpy()


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_lists_of_images_of_several_sizes(config, checkpoint, images, labels):
    model = init_model(config, checkpoint, device='cpu')
    arrays = [cv2.imread(image) for image in images]
    assert [one.shape for one in labels] == list(SIZES)
    assert_equal(map(label, inference_model(model, images)), labels)
    assert_equal(map(label, inference_model(model, arrays)), labels)
    assert_equal([label(inference_model(model, images[0]))], labels[:1])  # after arrays, a path
    with pytest.raises(Exception, match=r'uint8 \(H, W, 3\), B, G, R; this one is uint8 \(4, 4\)'):
        inference_model(model, np.zeros((4, 4), np.uint8))


def test_inferencer(config, checkpoint, images, labels, tmp_path):
    inferencer = MMSegInferencer(config, checkpoint, device='cpu', show_progress=False)
    assert_equal([inferencer(images[0])['predictions']], labels[:1])
    found = inferencer(images, batch_size=3, out_dir=str(tmp_path))
    assert_equal(found['predictions'], labels)
    assert len(list(tmp_path.rglob('*.png'))) == 2 * len(images)
    arrays = [cv2.imread(image) for image in images]
    assert_equal(inferencer(arrays, batch_size=2)['predictions'], labels)


def test_shown_result(config, checkpoint, images, tmp_path):
    model = init_model(config, checkpoint, device='cpu')
    for image in (images[1], cv2.imread(images[1])):
        result = inference_model(model, image)
        seen = show_result_pyplot(model, image, result, show=False, with_labels=False)
        assert seen.shape == (*SIZES[1], 3)


def test_recipes_name_what_the_inferencer_looks_for():
    for name in ('pretrain/sss_swin-b_gta5', 'uni_uvpt/gta_mit-b5_synthia-to-cityscapes'):
        for folder in ('', 'rehearsal/'):
            file = f'configs/{folder}{name}.py'
            try:
                cfg = Config.fromfile(file)
            except FileNotFoundError:
                continue
            pipeline = cfg.test_dataloader.dataset.pipeline
            assert pipeline[0] == {'type': 'LoadImageFromFile', '_scope_': 'mmseg_uvpt'}
            assert cfg.test_pipeline == pipeline


def history() -> dict:
    hub = MessageHub('of a test of doors')
    for value in (3.0, 1.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('note', np.float64(2))
    return hub.state_dict()


FORMS = {
    'no meta': lambda c: {'state_dict': c['state_dict']},
    'meta of nothing': lambda c: {'meta': None, 'state_dict': c['state_dict']},
    'bare': lambda c: c['state_dict'],
    'model': lambda c: {'model': c['state_dict'], 'epoch': 3},
    'wrapped': lambda c: {'state_dict': {f'module.{k}': v for k, v in c['state_dict'].items()}},
    'released names': lambda c: {'state_dict': to_released(c['state_dict'])},
    'old meta': lambda c: {
        'meta': {'CLASSES': ('a',) * 19, 'PALETTE': [[1, 2, 3]] * 19},
        'state_dict': c['state_dict'],
    },
    "mmengine's": lambda c: {**c, 'message_hub': history()},
}


@pytest.mark.parametrize('form', FORMS)
def test_files_of_every_form(config, checkpoint, images, labels, tmp_path, form):
    path = tmp_path / 'model.pth'
    torch.save(FORMS[form](torch.load(checkpoint)), path)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of names of classes that are not there
        model = init_model(config, str(path), device='cpu')
    assert len(model.dataset_meta['classes']) == len(model.dataset_meta['palette']) == 19
    assert_equal([label(inference_model(model, images[0]))], labels[:1])


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_exported_files(config, checkpoint, images, labels, tmp_path, suffix):
    path = tmp_path / f'model{suffix}'
    write_file(export.strip(checkpoint), path)
    model = init_model(config, str(path), device='cpu')
    assert_equal([label(inference_model(model, images[0]))], labels[:1])
    inferencer = MMSegInferencer(config, str(path), device='cpu', show_progress=False)
    assert_equal([inferencer(images[0])['predictions']], labels[:1])


def test_logged_numbers_of_mmengine(tmp_path):
    """They are read as numbers; what names other methods is refused, and nothing is changed."""
    methods = dict(HistoryBuffer._statistics_methods)
    torch.save({'a': torch.zeros(1), 'message_hub': history()}, tmp_path / 'a.pth')
    found = load_file(tmp_path / 'a.pth')
    (loss,) = found['message_hub']['log_scalars'].values()
    assert type(loss) is not None
    assert isinstance(loss, HistoryBuffer)
    assert loss.data[0].tolist() == [3.0, 1.0]
    torch.save({'again': loss}, tmp_path / 'b.pth')  # as any other
    assert read_file(tmp_path / 'b.pth')['again'].mean() == 2
    assert HistoryBuffer._statistics_methods == methods


def test_files_of_numpy_1(tmp_path):
    path = tmp_path / 'a.pth'
    values = {'a': torch.zeros(1), 'n': np.arange(3.0), 's': np.float64(2)}
    torch.save(values, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(b'numpy._core.multi', b'numpy.core.multi'))
    found = load_file(path)
    assert (found['n'].tolist(), found['s']) == ([0, 1, 2], 2)


@pytest.mark.parametrize('loop', ['val', 'test', 'own val'])
def test_loops_of_mmengine(config, checkpoint, data_root, tmp_path, loop):
    """Batches of several sizes in mmengine's loops, and in ours in mmengine's runner."""
    how = {'type': 'InferenceValLoop'} if loop == 'own val' else {}
    loop = loop.split()[-1]
    folder = data_root / 'cityscapes'
    for kind, name in (('leftImg8bit', 'leftImg8bit'), ('gtFine', 'gtFine_labelTrainIds')):
        first = folder / f'{kind}/val/bonn/bonn_0_{name}.png'
        image = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(first.with_name(f'bonn_2_{name}.png')), image[:, :100])
    cfg = Config.fromfile(config)
    scores = []
    for size in (1, 3):
        loader = dict(cfg.val_dataloader, batch_size=size)
        loader['dataset'] = dict(loader['dataset'], data_root=str(folder))
        part = {f'{loop}_dataloader': loader, f'{loop}_evaluator': cfg.val_evaluator}
        runner = Runner(
            cfg.model, str(tmp_path / f'{size}'), load_from=checkpoint, default_scope='mmseg',
            **part, **{f'{loop}_cfg': how}, experiment_name=f'{loop}{size}',
        )  # fmt: skip
        scores.append(getattr(runner, loop)())
    assert scores[0]['mIoU'] == pytest.approx(scores[1]['mIoU'], abs=0.1)
