"""The four scripts one after the other, in miniature."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_uvpt.engine.scripts import generate_pseudo_label, pretrain, test, train


def test_four_steps(tmp_path, finished, adaptation_config, data_root):
    options = ['--data-root', str(data_root)]
    adapted = tmp_path / 'adapted'
    labels = data_root / 'cityscapes/pretrain/tiny/train'
    checkpoint = str(finished / 'iter_4.pth')
    generate_pseudo_label.main(
        [
            '--config',
            str(adaptation_config),
            '--checkpoint',
            checkpoint,
            '--pseudo_label_dir',
            str(labels),
            *options,
        ]
    )
    files = sorted(str(p.relative_to(labels)) for p in labels.rglob('*.png'))
    assert files == [
        'aachen/aachen_0_gtFine_labelTrainIds.png',
        'aachen/aachen_1_gtFine_labelTrainIds.png',
        'ulm/ulm_0_gtFine_labelTrainIds.png',
    ]
    arguments = [str(adaptation_config), '--source-checkpoint', checkpoint]
    arguments += ['--work-dir', str(adapted), *options]
    train.main(arguments)
    tuned = torch.load(adapted / 'iter_4.pth', weights_only=True)
    frozen = torch.load(checkpoint, weights_only=True)
    name = 'patch_embed.projection.weight'
    assert torch.equal(
        tuned['state_dict'][f'backbone.staged.{name}'], frozen['state_dict'][f'backbone.{name}']
    )
    head = 'decode_head.conv_seg.weight'
    assert not torch.equal(tuned['state_dict'][head], frozen['state_dict'][head])

    before = {p: p.read_bytes() for p in adapted.iterdir() if p.is_file()}
    shown = tmp_path / 'shown'
    test.main(
        [
            str(adaptation_config),
            str(adapted / 'iter_4.pth'),
            '--eval',
            'mIoU',
            '--work-dir',
            str(adapted),
            '--show-dir',
            str(shown),
            *options,
        ]
    )
    assert all(path.read_bytes() == content for path, content in before.items())
    result = json.loads((adapted / 'test_adapted_iter_4.json').read_text())
    expected = mean_iou_of_colours(shown, data_root / 'cityscapes/gtFine/val')
    assert result['mIoU19'] == pytest.approx(expected)
    assert result['checkpoint'].endswith('iter_4.pth')


@pytest.mark.usefixtures('pseudo_labels')
def test_adaptation_in_mixed_precision(tmp_path, finished, adaptation_config, data_root):
    config = tmp_path / 'larger.py'  # a view of less than 64 x 64 meets a bug of torch
    text = adaptation_config.read_text().replace('scale=(64, 32)', 'scale=(256, 128)')
    config.write_text(text.replace('crop_size=(32, 32)', 'crop_size=(128, 128)'))
    states = []
    for options in ([], ['--amp']):
        arguments = [str(config), '--source-checkpoint', str(finished / 'iter_4.pth'), *options]
        arguments += ['--work-dir', str(tmp_path / f'work{options}')]
        arguments += ['--data-root', str(data_root), '--no-validate', '--cfg-options']
        train.main([*arguments, 'train_cfg.max_iters=2'])
        states.append(torch.load(tmp_path / f'work{options}/iter_2.pth', weights_only=True))
    plain, half = (state['message_hub']['log_scalars']['train/loss'][0] for state in states)
    assert half.tolist() == pytest.approx(plain.tolist(), rel=0.03)
    assert not torch.equal(half, plain)
    found = {v.dtype for v in states[1]['state_dict'].values() if v.is_floating_point()}
    assert found == {torch.float32}
    text = (tmp_path / "work['--amp']/config.py").read_text()
    assert "type='BFloat16OptimWrapper'" in text


@pytest.mark.slow
@pytest.mark.usefixtures('pseudo_labels')
def test_adaptation_is_resumed(tmp_path, finished, adaptation_config, data_root):
    """With the folder of Cityscapes itself as data root."""
    cityscapes = (data_root / 'cityscapes').rename(tmp_path / 'cs')
    adapted = tmp_path / 'adapted'
    arguments = [str(adaptation_config), '--source-checkpoint', str(finished / 'iter_4.pth')]
    arguments += ['--work-dir', str(adapted), '--data-root', f'{cityscapes}/', '--no-validate']
    short = ['train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=1']
    # is moved with the data
    short += ['default_hooks.label_correction.truth_dir=data/cityscapes/pretrain/tiny/train']
    train.main([*arguments, '--cfg-options', *short])
    recorded = Config.fromfile(adapted / 'config.py')
    assert recorded.train_dataloader.dataset.data_root == str(cityscapes)
    hook = recorded.default_hooks.label_correction
    assert hook.pseudo_label_dir == hook.truth_dir == f'{cityscapes}/pretrain/tiny/train'
    rows = (adapted / 'label_correction_truth.csv').read_text().splitlines()
    assert rows[4] == '0,wall,begin,1.000000,0,0,0'  # the class of all pseudo labels
    for older in ('iter_1.pth', 'none'):  # killed before the first checkpoint, then after one
        (adapted / 'iter_2.pth').unlink()
        (adapted / older).unlink(missing_ok=True)
        train.main([*arguments, '--resume', '--cfg-options', *short])
    starts = json.loads((adapted / 'run.json').read_text())['starts']
    assert [start['first_iteration'] for start in starts] == [0, 0, 1]


def mean_iou_of_colours(shown, truth_folder) -> float:
    """Read the coloured predictions back and average the IoU over the classes of the truth."""
    from mmseg.datasets import CityscapesDataset

    intersection, union, present = np.zeros(19), np.zeros(19), np.zeros(19, bool)
    files = sorted(shown.rglob('*.png'))
    assert len(files) == 2
    for file in files:
        colours = cv2.imread(str(file))[..., ::-1]
        name = str(file.relative_to(shown)).replace('_leftImg8bit', '_gtFine_labelTrainIds')
        truth = cv2.imread(str(truth_folder / name), cv2.IMREAD_UNCHANGED)
        for i, colour in enumerate(CityscapesDataset.METAINFO['palette']):
            predicted = (colours == colour).all(-1)
            intersection[i] += (predicted & (truth == i)).sum()
            union[i] += (predicted | (truth == i)).sum()
            present[i] |= (truth == i).any()
    return float(100 * (intersection[present] / union[present]).mean())


def test_augmented_test(tmp_path, finished, source_config, data_root):
    out = tmp_path / 'augmented.json'
    test.main(
        [
            str(source_config),
            str(finished / 'iter_4.pth'),
            '--aug-test',
            '--out',
            str(out),
            '--work-dir',
            str(tmp_path / 'work'),
            '--data-root',
            str(data_root),
        ]
    )
    result = json.loads(out.read_text())
    assert result['aug_test'] is True
    assert result['frames'] == 2


def test_provenance(finished, miniature):
    cfg = Config.fromfile(finished / 'config.py')
    assert cfg.randomness.seed == 0
    assert cfg.train_dataloader.dataset.data_root == str(miniature / 'data/gta')
    environment = json.loads((finished / 'environment.json').read_text())
    assert environment['PyTorch'] == torch.__version__
    (start,) = json.loads((finished / 'run.json').read_text())['starts']
    assert start['seed'] == 0
    assert start['resumed_from'] is None
    assert start['command'].startswith('python pretrain.py ')
    (log,) = finished.glob('*/*.log')
    trained = sum(
        tensor.numel()
        for state in torch.load(finished / 'iter_4.pth')['optimizer']['state'].values()
        for name, tensor in state.items()
        if name == 'exp_avg'
    )
    assert f'trainable {trained / 1e6:.2f} M, frozen 0.00 M' in log.read_text()


def test_mixed_precision(tmp_path, source_config, miniature):
    """On the CPU in bfloat16; what is kept is in float32."""
    options = ['--data-root', str(miniature / 'data'), '--work-dir', str(tmp_path), '--amp']
    pretrain.main([str(source_config), *options])
    state = torch.load(tmp_path / 'iter_4.pth', weights_only=True)
    assert {t.dtype for t in state['state_dict'].values()} <= {torch.float32, torch.int64}
    moments = [t for s in state['optimizer']['state'].values() for t in s.values()]
    assert {t.dtype for t in moments} == {torch.float32}
    losses = state['message_hub']['log_scalars']['train/loss'][0]
    assert len(losses) == 4
    assert torch.isfinite(losses).all()
    recorded = Config.fromfile(next(tmp_path.glob('*.py')))
    assert recorded.optim_wrapper.type == 'BFloat16OptimWrapper'


VIT = """
model = dict(
    backbone=dict(
        _delete_=True, type='TimmViT', model='vit_small_patch14_reg4_dinov2', img_size=56,
        embed_dim=32, depth=4, num_heads=2),
    neck=dict(type='Feature2Pyramid', embed_dim=32, norm_cfg=dict(type='BN')),
    decode_head=dict(in_channels=(32,) * 4))
"""
EFFICIENTNET = """
model = dict(
    backbone=dict(_delete_=True, type='TimmEfficientNet', model='tf_efficientnet_lite0'),
    decode_head=dict(in_channels=(24, 40, 112, 320)))
"""


@pytest.mark.slow
@pytest.mark.parametrize('changes', [VIT, EFFICIENTNET], ids=['vit', 'efficientnet'])
def test_four_steps_of_another_backbone(
    tmp_path, source_config, adaptation_config, data_root, changes
):
    configs = []
    for base in (source_config, adaptation_config):
        config = tmp_path / base.name
        config.write_text(f'_base_ = {str(base)!r}\n{changes}')
        configs.append(str(config))
    source, adapted, labels = (str(tmp_path / name) for name in ('source', 'adapted', 'labels'))
    data = ['--data-root', str(data_root)]
    checkpoint = f'{source}/iter_4.pth'
    pretrain.main([configs[0], '--work-dir', source, *data])
    generate_pseudo_label.main(
        ['--config', configs[0], '--checkpoint', checkpoint, '--pseudo_label_dir', labels, *data]
    )
    given = ['--source-checkpoint', checkpoint, '--pseudo-label-dir', labels]
    train.main([configs[1], *given, '--work-dir', adapted, *data])
    before, after = (
        torch.load(path, weights_only=True)['state_dict']
        for path in (checkpoint, f'{adapted}/iter_4.pth')
    )
    for name, tensor in before.items():
        ours = name.replace('backbone.', 'backbone.staged.', 1)
        is_same = torch.equal(after[ours], tensor)
        assert is_same or name.startswith(('neck.', 'decode_head.')), name
    out = tmp_path / 'score.json'
    test.main([configs[1], f'{adapted}/iter_4.pth', *data, '--out', str(out), '--work-dir', source])
    assert json.loads(out.read_text())['mIoU19'] >= 0
