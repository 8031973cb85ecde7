"""Methods through train.py: without a label correction, without labels, and resumed."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from mmseg_uvpt.engine.hooks.method import MethodHook
from mmseg_uvpt.engine.scripts import test, train
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.methods.self_training import SelfTraining

FIXED = ['default_hooks.label_correction=None']
PIPELINE = 'train_dataloader.dataset.pipeline'
UNLABELLED = [
    *FIXED,
    f'{PIPELINE}.LoadPseudoLabel=None',
    f'{PIPELINE}.CropWithBox.cat_max_ratio=1.0',
]
SEEN = []


@MODELS.register_module()
class WatchedSelfTraining(SelfTraining):
    def loss_by_views(self, views):
        SEEN.append(views)
        return super().loss_by_views(views)


@pytest.fixture
def start(adaptation_config, finished, data_root, tmp_path):
    """Train in a work folder; return it."""

    def begin(name: str, *options: str, more: tuple[str, ...] = (), config=adaptation_config):
        folder = tmp_path / name
        source = ['--source-checkpoint', str(finished / 'iter_4.pth')]
        where = ['--work-dir', str(folder), '--data-root', str(data_root), *more]
        train.main([str(config), *source, *where, '--cfg-options', *options])
        return folder

    return begin


def weights(folder, iterations: int) -> dict:
    return torch.load(folder / f'iter_{iterations}.pth', weights_only=True)


def assert_statistics_alone_differ(found: dict, finished) -> None:
    """Of the source model's tensors a model has others for mean and variance, and no others."""
    source = torch.load(finished / 'iter_4.pth', weights_only=True)['state_dict']
    for name, tensor in source.items():
        own = found[name.replace('backbone.', 'backbone.staged.', 1)]
        is_statistic = name.rpartition('.')[2] in ('running_mean', 'running_var')
        counts = name.endswith('num_batches_tracked')
        assert counts or torch.equal(own, tensor) != is_statistic, name


def labels_of_blocks(data_root):
    """Write labels of which each pixel's value says where it is."""
    folder = data_root / 'cityscapes/pretrain/tiny/train'
    rows, columns = np.divmod(np.arange(64 * 128).reshape(64, 128), 128)
    label = ((rows // 16) * 4 + columns // 32).astype(np.uint8)
    for path in folder.rglob('*.png'):
        cv2.imwrite(str(path), label)
    return cv2.resize(label, (64, 32), interpolation=cv2.INTER_NEAREST)


def test_without_label_correction_labels_stay_as_they_were_made(start, pseudo_labels, data_root):
    whole = labels_of_blocks(data_root)
    SEEN.clear()
    labels = ('--pseudo-label-dir', str(data_root / 'cityscapes/pretrain/tiny/train'))
    more = (*labels, '--foreign-labels')
    folder = start('work', *FIXED, 'model.type=WatchedSelfTraining', more=more)
    assert not (folder / 'label_bank').exists()
    assert [views.iteration for views in SEEN] == [0, 1, 2, 3]
    crops = {whole[:, left : left + 32].tobytes() for left in range(33)}
    crops |= {whole[:, left : left + 32][:, ::-1].tobytes() for left in range(33)}
    for views in SEEN:
        (label,) = views.labels.numpy().astype(np.uint8)
        assert label.tobytes() in crops
    written = (folder / 'config.py').read_text()
    assert "'trained_on': True" in written or 'trained_on=True' in written


@pytest.mark.slow
def test_uni_uvpt_without_label_correction(start, pseudo_labels, data_root):
    """It trains as with a correction that never begins, and keeps no bank."""
    labels = ('--pseudo-label-dir', str(data_root / 'cityscapes/pretrain/tiny/train'))
    without = start('without', *FIXED, more=(*labels, '--foreign-labels'))
    never = ('default_hooks.label_correction.interval=100',)
    idle = start('idle', *never, more=(*labels, '--foreign-labels'))
    found, expected = (weights(folder, 4)['state_dict'] for folder in (without, idle))
    assert found.keys() == expected.keys()
    assert [name for name, tensor in found.items() if not torch.equal(tensor, expected[name])] == []
    assert (idle / 'label_bank').is_dir()
    assert not (without / 'label_bank').exists()


def test_labels_that_nothing_names_or_reads(start, pseudo_labels):
    with pytest.raises(UserError, match='--pseudo-label-dir DIR'):
        start('work', *FIXED)
    with pytest.raises(UserError, match='leave out --pseudo-label-dir'):
        start('work', *UNLABELLED, 'model.type=MeanTeacher', more=('--pseudo-label-dir', 'x'))
    with pytest.raises(UserError, match='UniUVPT trains on pseudo labels, and nothing loads them'):
        start('work', *UNLABELLED)
    with pytest.raises(UserError, match=r'MeanTeacher trains without labels.*correction=None'):
        start('work', 'model.type=MeanTeacher')
    with pytest.raises(UserError, match='MeanTeacher trains without labels: take LoadPseudoLabel'):
        start('work', *FIXED, 'model.type=MeanTeacher')
    with pytest.raises(UserError, match=r'no label to draw a crop by.*cat_max_ratio=1\.0'):
        start('work', *UNLABELLED[:2], 'model.type=MeanTeacher')


@pytest.mark.slow  # test_methods_without_labels.py resumes one with anchors
def test_a_mean_teacher_resumes_to_the_bit(start, adaptation_config, data_root, tmp_path):
    """Student, teacher and thresholds; checkpoints hold the teacher, which test.py scores."""
    options = [*UNLABELLED, 'model.type=MeanTeacher', 'model.momentum=0.5']
    options += ['model.labels=class_quantile', 'model.mask_patch=16']
    whole = start('whole', *options)
    first = weights(whole, 4)
    (whole / 'iter_4.pth').unlink()  # as if it had been killed before
    start('whole', *options, more=('--resume',))
    second = weights(whole, 4)
    assert first['method']['state'].keys() == second['method']['state'].keys()
    for part in ('state', 'trained'):
        for name, tensor in first['method'][part].items():
            assert torch.equal(tensor, second['method'][part][name]), name
    for name, tensor in first['state_dict'].items():
        assert torch.equal(tensor, second['state_dict'][name]), name
    name = 'decode_head.conv_seg.weight'
    assert not torch.equal(first['state_dict'][name], first['method']['trained'][name])
    out = tmp_path / 'score.json'
    where = ['--work-dir', str(tmp_path / 'test'), '--data-root', str(data_root)]
    for kind in ('MeanTeacher', 'UniUVPT'):  # the file is that of any method
        changes = ['--cfg-options', f'model.type={kind}', '--out', str(out)]
        test.main([str(adaptation_config), str(whole / 'iter_4.pth'), *where, *changes])


def test_new_statistics_alone(start, finished):
    tuner = 'model.tuner.type=Statistics'
    folder = start('work', *UNLABELLED, 'model.type=AdaBN', tuner)
    found = weights(folder, 4)['state_dict']
    assert_statistics_alone_differ(found, finished)


@pytest.mark.slow
def test_statistics_are_renewed_before_the_method_begins(start, finished, judged_config):
    """The teacher begins with them; candidate 0 is the source model, and 1 has them."""
    renewal = ['default_hooks.renewal.type=RenewStatisticsHook', 'default_hooks.renewal.images=2']
    options = [*UNLABELLED, 'model.type=MeanTeacher', 'model.keep_statistics=True', *renewal]
    folder = start('work', *options, 'model.momentum=1.0', config=judged_config)
    found = weights(folder, 4)['state_dict']
    assert_statistics_alone_differ(found, finished)
    rows = (folder / 'candidates.csv').read_text().splitlines()[1:]
    assert [row.split(',')[0] for row in rows] == ['0', '1', '2', '4']
    assert all(row.split(',')[-3] for row in rows)  # scored by labels, each
    agreements = [[*map(float, row.split(',')[1:3])] for row in rows]
    assert agreements[1] == agreements[2] == agreements[3] != agreements[0]


def test_a_dict_on_the_command_line(start):
    renewal = "default_hooks.renewal=dict(type='RenewStatisticsHook',images=2)"
    with pytest.raises(UserError, match=r'as in default_hooks\.renewal\.type=NAME'):
        start('work', *UNLABELLED, 'model.type=MeanTeacher', renewal)


def test_anchors_pull_once_a_step(build):
    """Not at each iteration whose gradient is only added to those of a step to come."""
    model = build('mit-nano_source', {'type': 'MeanTeacher'})
    parameters = [p for p in model.parameters() if p.requires_grad]
    wrapper = OptimWrapper(torch.optim.SGD(parameters, lr=0.1), accumulative_counts=3)
    runner = SimpleNamespace(model=model, iter=0, optim_wrapper=wrapper, logger=None)
    runner.train_dataloader = SimpleNamespace(dataset=None)
    hook, steps = MethodHook(), []
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    model.after_iteration = lambda: steps.append(runner.iter)
    wrapper.initialize_count_status(model, 0, 7)
    for runner.iter in range(7):
        wrapper.update_params(sum(p.sum() for p in parameters))
        hook.after_train_iter(runner, runner.iter, outputs={})
    assert steps == [2, 5, 6]
