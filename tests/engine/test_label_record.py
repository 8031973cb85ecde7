"""Pseudo labels belong to the model that made them, whatever its file is called."""

import json
import shlex

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_uvpt.checkpoints.export import join, split, strip
from mmseg_uvpt.checkpoints.hashes import weights_sha256
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.engine.inference.label_record import require_labels_of
from mmseg_uvpt.engine.scripts import generate_pseudo_label, train
from mmseg_uvpt.errors import UserError

BOUND = 'default_hooks.label_correction.foreign_labels=False'
FRAME = 'aachen/aachen_0_gtFine_labelTrainIds.png'


@pytest.fixture
def model(finished):
    return finished / 'iter_4.pth'


@pytest.fixture
def made(tmp_path, model, source_config, data_root):
    """Labels of the finished source model."""
    folder = tmp_path / 'labels/model/train'
    label(source_config, model, folder, data_root)
    return folder


def label(config, checkpoint, folder, data_root, *more):
    files = ['--config', str(config), '--checkpoint', str(checkpoint), '--pseudo_label_dir']
    generate_pseudo_label.main([*files, str(folder), '--data-root', str(data_root), *more])


@pytest.fixture
def adapt(tmp_path, adaptation_config, data_root):
    """Begin an adaptation of one iteration; return its work folder."""

    def start(checkpoint, labels, *more, work='work', options=(BOUND, 'train_cfg.max_iters=1')):
        files = ['--source-checkpoint', str(checkpoint), '--no-validate', '--work-dir']
        files += [str(tmp_path / work), '--data-root', str(data_root)]
        files += ['--pseudo-label-dir', str(labels)] if labels else []
        train.main([str(adaptation_config), *files, *more, '--cfg-options', *options])
        return tmp_path / work

    return start


@pytest.fixture
def other(tmp_path, model):
    """Another model: one number differs."""
    state = torch.load(model, weights_only=True)
    state['state_dict']['decode_head.conv_seg.bias'][0] += 1
    torch.save({'state_dict': state['state_dict']}, tmp_path / 'other.pth')
    return tmp_path / 'other.pth'


def digest(path) -> str:
    return weights_sha256(state_dict_of(load_file(path), path))


@pytest.mark.slow
def test_one_hash_for_all_files_of_the_same_weights(tmp_path, model, other, made, adapt):
    adapted = adapt(model, made) / 'iter_1.pth'
    expected = {model: digest(model), adapted: digest(adapted)}
    assert len({*expected.values(), digest(other)}) == 3
    for path, wanted in expected.items():
        stripped = strip(path)
        write_file(stripped, tmp_path / 'same.safetensors')
        write_file(stripped, tmp_path / 'same.pth')
        torch.save(to_released(stripped['state_dict']), tmp_path / 'released.pth')
        for name in ('same.safetensors', 'same.pth', 'released.pth'):
            assert digest(tmp_path / name) == wanted
    write_file(split(adapted, model), tmp_path / 'small.safetensors')
    write_file(join(tmp_path / 'small.safetensors', model), tmp_path / 'joined.pth')
    assert digest(tmp_path / 'joined.pth') == expected[adapted]


def test_what_is_captured(made, model):
    record = json.loads((made / 'pseudo_labels.json').read_text())
    assert record['weights_sha256'] == digest(model)
    assert record['class_names'] == list(record['classes'])
    assert record['sizes'] == {'128 x 64': 3}


def test_labels_of_another_model(made, other, model, adapt, tmp_path, source_config, data_root):
    """The error has the command that makes the right ones, and it works."""
    with pytest.raises(UserError, match=r'pseudo labels of another model, .*iter_4') as error:
        adapt(other, made)
    assert '\n' not in str(error.value)
    (tmp_path / 'work').mkdir(exist_ok=True)  # as left by a run that was stopped before it began
    with pytest.raises(UserError, match='pseudo labels of another model'):
        adapt(other, made, '--resume')
    assert not (tmp_path / 'work/config.py').exists()
    command = str(error.value).partition('labels of this model: ')[2].partition(' and train')[0]
    words = shlex.split(command)
    assert words[:2] == ['python', 'generate_pseudo_label.py']
    generate_pseudo_label.main(words[2:])
    own = str(error.value).partition('--pseudo-label-dir ')[2].partition(', or')[0]
    assert own == words[-1] == str(tmp_path / f'labels/other_{digest(other)[:8]}/train')
    adapt(other, own)

    write_file(strip(model), tmp_path / 'renamed.safetensors')  # the same model
    adapt(tmp_path / 'renamed.safetensors', made, work='renamed')


@pytest.mark.slow
def test_labels_made_elsewhere_are_an_option_that_is_captured(made, other, model, adapt, tmp_path):
    work = adapt(other, made, '--foreign-labels', options=['train_cfg.max_iters=1'])
    hook = Config.fromfile(work / 'config.py').default_hooks.label_correction
    assert hook.foreign_labels is True
    (made / 'pseudo_labels.json').unlink()
    with pytest.raises(UserError, match=r'has no pseudo_labels\.json .* add --foreign-labels$'):
        adapt(model, made, work='none')
    adapt(model, made, '--foreign-labels', work='anyway', options=['train_cfg.max_iters=1'])
    work = adapt(model, made, '--resume', work='anyway', options=['train_cfg.max_iters=1'])


def test_labels_of_other_classes(made, model, adapt):
    """No option serves them: the record says that id 0 is another class."""
    path = made / 'pseudo_labels.json'
    record = json.loads(path.read_text())
    record['class_names'][:2] = record['class_names'][1::-1]
    path.write_text(json.dumps(record))
    told = r"id 0 is 'road' in this training and 'sidewalk' in .*pseudo_labels\.json"
    for more in ([], ['--foreign-labels']):
        with pytest.raises(UserError, match=told):
            adapt(model, made, *more)


def test_records_of_version_0_1(made, model, other, tmp_path):
    """They have no hash of weights: that of the file they name is taken, or the files compared."""
    path = made / 'pseudo_labels.json'
    record = json.loads(path.read_text())
    classes = record['class_names']

    def check(checkpoint):
        require_labels_of(made, str(checkpoint), classes, False, lambda folder: f'make {folder}')

    for new in ('weights_sha256', 'class_names', 'sizes'):
        del record[new]
    path.write_text(json.dumps(record))
    check(model)
    write_file(strip(model), tmp_path / 'renamed.safetensors')
    check(tmp_path / 'renamed.safetensors')
    with pytest.raises(UserError, match='of another model'):
        check(other)
    path.write_text(json.dumps({**record, 'checkpoint': 'gone.pth'}))
    check(model)
    with pytest.raises(UserError, match=r'of another model, gone\.pth'):
        check(tmp_path / 'renamed.safetensors')
    classes[:2] = classes[1::-1]
    with pytest.raises(UserError, match='classes differ: id 0'):
        check(model)
    del record['checkpoint_sha256'], record['classes']
    path.write_text(json.dumps(record))
    check(other)


def test_source_checkpoint_alone(other, adapt, data_root, tmp_path):
    """The config's folder is that of its own source model, even before it is there."""
    labels = data_root / 'cityscapes/pretrain/tiny/train'
    released = f'model.source_checkpoint={tmp_path}/released.pth'
    with pytest.raises(UserError, match=r'tiny/train does not exist: make it with: ') as error:
        adapt(other, None, options=[BOUND, released])
    own = labels.parents[1] / f'other_{digest(other)[:8]}/train'
    assert str(error.value).endswith(
        f'--pseudo_label_dir {own} and train with --pseudo-label-dir {own}'
    )


def test_labels_that_nobody_made_are_never_replaced(model, source_config, data_root, tmp_path):
    """Neither taken for those of a model, nor overwritten, with --force or without."""
    folder = tmp_path / 'copied'
    (folder / 'aachen').mkdir(parents=True)
    cv2.imwrite(str(folder / FRAME), np.full((64, 128), 3, np.uint8))
    before = (folder / FRAME).read_bytes()
    for more in ([], ['--force']):
        with pytest.raises(UserError, match=r'copied holds 1 labels, .*aachen_0.* move them away'):
            label(source_config, model, folder, data_root, *more)
    assert [p.name for p in folder.rglob('*.*')] == ['aachen_0_gtFine_labelTrainIds.png']
    assert (folder / FRAME).read_bytes() == before


def test_the_folder_of_the_ground_truth(model, source_config, data_root, tmp_path):
    """By whatever path, and before there is any label."""
    (tmp_path / 'link').symlink_to(data_root / 'cityscapes')
    for folder in (data_root / 'cityscapes/gtFine/train', tmp_path / 'link/gtFine/mine'):
        for more in ([], ['--force']):
            with pytest.raises(UserError, match='ground truth belongs: choose another'):
                label(source_config, model, folder, data_root, *more)
        assert not folder.exists()


def test_labels_of_an_adapted_model(
    made, model, other, adapt, tmp_path, adaptation_config, data_root
):
    """Adapted, labelled with it, adapted anew from the source model; then from the adapted one."""
    short = [BOUND, 'train_cfg.max_iters=1', 'model.tuner.type=Statistics']
    adapted = adapt(model, made, work='first', options=short) / 'iter_1.pth'
    stripped = tmp_path / 'stripped.safetensors'
    write_file(strip(adapted), stripped)  # knows its source model as well
    labels = tmp_path / 'again/train'
    label(*(tmp_path / 'first/config.py', stripped, labels, data_root), '--threshold', '0.03')
    record = json.loads((labels / 'pseudo_labels.json').read_text())
    assert record['weights_sha256'] == digest(adapted)
    assert record['adapted_from'] == [digest(model)]
    work = adapt(model, labels, work='second')
    (log,) = work.rglob('*.log')
    assert f'those of {stripped}, which was adapted from this source model' in log.read_text()
    with pytest.raises(UserError, match=r'pseudo labels of another model, .*stripped'):
        adapt(other, labels, work='none')
    with pytest.raises(UserError, match=r'pseudo labels of another model, .*iter_4'):
        adapt(adapted, made, work='none')
    adapt(adapted, labels, work='third', options=[BOUND, 'train_cfg.max_iters=1'])
    meta = load_file(tmp_path / 'third/iter_1.pth')['meta']
    assert meta['adapted_from'] == [digest(adapted), digest(model)]


@pytest.mark.slow
def test_adapted_models_as_source_models(made, model, adapt, tmp_path):
    """Taken with the weights that they have, unless their tuner added some."""
    head = ['train_cfg.max_iters=1', 'model.tuner.type=All', 'optim_wrapper.optimizer.lr=0.1']
    adapted = adapt(model, made, work='all', options=[BOUND, *head]) / 'iter_1.pth'
    still = [*head[:2], 'optim_wrapper.optimizer.lr=0.0']
    again = adapt(adapted, made, '--foreign-labels', work='again', options=still) / 'iter_1.pth'
    before, after = (state_dict_of(load_file(path)) for path in (adapted, again))
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    for name in after:
        same = torch.equal(before[name], after[name])
        assert same or name.endswith(statistics) or name == 'scale_weights', name
    prompted = adapt(model, made, work='prompts') / 'iter_1.pth'
    with pytest.raises(UserError, match=r'holds more than a source model, backbone\.level_emb'):
        adapt(prompted, made, '--foreign-labels', work='none')
