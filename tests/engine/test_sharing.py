"""Models as folders and repositories of the hub: what is written, and that loading runs nothing."""

import json
import os
import sys
from types import SimpleNamespace

import cv2
import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

import mmseg_uvpt
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import file_hash

IMAGE = cv2.resize(
    np.random.default_rng(0).integers(0, 255, (8, 16, 3)).astype(np.uint8), (128, 64)
)


@pytest.fixture
def shared(model, tmp_path):
    model.save_pretrained(tmp_path / 'shared')
    return tmp_path / 'shared'


def test_a_folder_gives_the_same_model(model, shared):
    assert {path.name for path in shared.iterdir()} == {
        *('model.safetensors', 'config.py', 'README.md')
    }
    again = mmseg_uvpt.from_pretrained(shared)
    assert again.classes == model.classes
    np.testing.assert_array_equal(again(IMAGE).confidence, model(IMAGE).confidence)
    np.testing.assert_array_equal(again(IMAGE).overlay(), model(IMAGE).overlay())
    second = shared.with_name('second')
    with pytest.raises(UserError, match='says what is known of this model: write licence'):
        again.save_pretrained(second, licence='mit')
    again.save_pretrained(second)  # as somebody would who changed nothing
    for path in shared.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_the_card_says_what_the_run_recorded(model, finished, source_config, data_root, tmp_path):
    checkpoint, out = finished / 'iter_4.pth', tmp_path / 'val.json'
    where = ['--work-dir', str(tmp_path / 'work'), '--data-root', str(data_root)]
    test.main([str(source_config), str(checkpoint), *where, '--out', str(out)])
    score = json.loads(out.read_text())
    model.save_pretrained(tmp_path / 'shared', scores=[out], licence='apache-2.0')
    card = ModelCard.load(tmp_path / 'shared/README.md')
    assert card.data.license == 'apache-2.0'
    assert card.data.eval_results[0].metric_value == round(score['mIoU'], 2)
    counted = len(score['classes_of_mean']['mIoU19'])
    for told in (
        *(
            f' {source_config.name} --work-dir {finished.name} ',
            f'| {score["mIoU"]:.2f} |',
            f'| {counted} |',
            '4 iterations, Seed 0',
        ),
        *(file_hash(tmp_path / 'shared/model.safetensors'), 'cityscapes-dataset.com/license'),
        *('nothing says that candidates were compared', 'trained on labels', 'PyTorch: '),
    ):
        assert told in card.text, told
    assert str(finished.parent) not in card.text
    assert '| once |' in card.text
    views = {**score, 'aug_test': True, 'amp': True}
    (tmp_path / 'views.json').write_text(json.dumps(views))
    model.save_pretrained(tmp_path / 'shared', scores=[tmp_path / 'views.json'])
    card = ModelCard.load(tmp_path / 'shared/README.md')
    assert '| over sizes and flips, in half precision |' in card.text
    assert not card.data.eval_results
    other = {'checkpoint_sha256': 'of others', 'checkpoint': 'other.pth'}
    out.write_text(json.dumps(score | other))
    with pytest.raises(UserError, match=r'val\.json is the score of other\.pth: name files'):
        model.save_pretrained(tmp_path / 'shared', scores=[out])


def test_an_adapted_model_without_tensors_of_a_tuner_is_told_from_a_source_model(
    finished, tmp_path
):
    loaded = torch.load(finished / 'iter_4.pth')
    loaded['meta']['adapted_from'] = ['ab12']
    torch.save(loaded, tmp_path / 'tuned.pth')
    mmseg_uvpt.load(finished / 'config.py', tmp_path / 'tuned.pth').save_pretrained(tmp_path / 's')
    assert 'adapted to images without their labels' in (tmp_path / 's/README.md').read_text()


def test_the_card_of_an_adapted_model_names_what_its_source_model_learnt_of(finished, tmp_path):
    """Its own data are the target's alone, and the source's have terms, too."""
    folder = tmp_path / 'adapted'
    folder.mkdir()
    loaded = torch.load(finished / 'iter_4.pth')
    loaded['meta']['adapted_from'] = ['ab12']
    torch.save(loaded, folder / 'tuned.pth')
    source = tmp_path / 'source/iter_4.pth'
    source.parent.mkdir()
    record = json.loads((finished / 'run.json').read_text())
    record['starts'][0]['command'] = f'python train.py x.py --source-checkpoint {source}'
    (folder / 'run.json').write_text(json.dumps(record))
    text = (finished / 'config.py').read_text()
    (source.parent / 'config.py').write_text(text.replace("/gta'", "/synthia'"))
    model = mmseg_uvpt.load(finished / 'config.py', folder / 'tuned.pth')
    for roots, terms in (('trained on labels of `synthia`', True), ('not recorded', False)):
        model.save_pretrained(tmp_path / 'shared')
        card = (tmp_path / 'shared/README.md').read_text()
        assert f'What its source model was trained on: {roots}.' in card
        assert ('https://synthia-dataset.net/' in card) == terms
        # of a stranger: nothing of it is run
        (source.parent / 'config.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")\n')
    assert not (tmp_path / 'ran').exists()
    (source.parent / 'config.py').write_text("model = dict(type='Tent', tuner=dict(type='Norm'))\n")
    model.save_pretrained(tmp_path / 'shared')  # it was adapted itself, from what is not known
    assert (
        'source model was trained on: not recorded' in (tmp_path / 'shared/README.md').read_text()
    )


def test_a_card_without_a_record(model, finished, tmp_path):
    (tmp_path / 'alone.pth').write_bytes((finished / 'iter_4.pth').read_bytes())
    alone = mmseg_uvpt.load(finished / 'config.py', tmp_path / 'alone.pth')
    alone.save_pretrained(tmp_path / 'shared')
    text = (tmp_path / 'shared/README.md').read_text()
    for told in ('None is recorded', 'Unknown: no run.json', 'Nobody has said'):
        assert told in text


def test_the_choice_and_its_warning_stand_in_the_card(finished, tmp_path):
    for name in ('iter_4.pth', 'config.py'):
        (tmp_path / name).write_bytes((finished / name).read_bytes())
    (tmp_path / 'iter_4.pth').rename(tmp_path / 'selected.pth')
    said = {'sentence': 'iteration 0 was chosen.', 'warning': 'nothing beats the source model'}
    (tmp_path / 'selection.json').write_text(json.dumps(said))
    model = mmseg_uvpt.load(tmp_path / 'config.py', tmp_path / 'selected.pth')
    model.save_pretrained(tmp_path / 'shared')
    text = (tmp_path / 'shared/README.md').read_text()
    assert 'iteration 0 was chosen.\n\n**Warning**: nothing beats the source model' in text


MODEL, STEP, CLASSES = "type='SourceSegmentor'", "type='PackSegInputs'", 'classes=['
EVIL = "class_weight='http://127.0.0.1:1/w.pkl', "


@pytest.mark.parametrize(
    ('before', 'after', 'told'),
    [
        (MODEL, "type='os.system'", "'os.system' is no part of a model"),
        (MODEL, "type='antigravity'", "'antigravity' is no part"),
        (MODEL, "type='ImageCache'", 'describes no model that can be built'),
        (MODEL, "_scope_='evil', type='SourceSegmentor'", "'evil.SourceSegmentor' is no part"),
        (MODEL, 'type=print(1)', 'more than plain values'),
        (MODEL, "type='SourceSegmentor", 'more than plain values'),
        (MODEL, "type='SourceSegmentor', neck=dict(type='/etc')", "'/etc' is no part"),
        (MODEL, "type='SourceSegmentor', wrong=1", 'describes no model that can be built: TypeE'),
        ("type='StagedSwin'", "type='TIMMBackbone'", "'TIMMBackbone' is no part"),
        ("type='StagedSwin'", "type='StagedSwin', file='/etc/passwd'", 'may name a file'),
        ("type='StagedSwin'", "type='VPD', diffusion_cfg=dict(target='os.getcwd')", "'VPD' is no"),
        (STEP, "type='ImageCache', folder='x'", 'images are to pass through ImageCache'),
        ("type='Resize'", "type='Resize', backend='a/b'", 'neither numbers nor names'),
        (CLASSES, "classes='http://127.0.0.1:1/c.txt', other=[", 'classes is no list of names'),
        ('model=dict(', 'model=5\nother=dict(', 'describes no model that can be built'),
        ('test_dataloader=dict(', 'other=dict(', 'because KeyError'),
    ],
)
def test_nothing_that_is_loaded_runs(shared, before, after, told):
    text = (shared / 'config.py').read_text()
    assert before in text
    (shared / 'config.py').write_text(text.replace(before, after))
    with pytest.raises(UserError, match=told):
        mmseg_uvpt.from_pretrained(shared)


def test_arguments_of_losses_are_not_read(shared):
    """mmseg fetches and unpickles what `class_weight` names."""
    text = (shared / 'config.py').read_text()
    loss = "type='CrossEntropyLoss'"
    assert loss in text
    (shared / 'config.py').write_text(text.replace(loss, f'{EVIL}{loss}'))
    assert mmseg_uvpt.from_pretrained(shared)(IMAGE).classes.shape == (64, 128)


def test_arguments_that_name_weights_are_not_read(shared):
    """timm opens what `checkpoint_path` names; source-GtA names weights of augmentations."""
    text = (shared / 'config.py').read_text()
    for given in ("checkpoint_path='evil.pth'", "weights=dict(style='model/style/decoder.pth')"):
        changed = text.replace("type='StagedSwin'", f"type='StagedSwin', {given}")
        (shared / 'config.py').write_text(changed)
        assert mmseg_uvpt.from_pretrained(shared)(IMAGE).classes.shape == (64, 128)


def test_a_model_that_nobody_could_read_is_not_written(model, tmp_path):
    model.cfg.merge_from_dict({'model.decode_head.extra': 'http://127.0.0.1:1/x'})
    with pytest.raises(UserError, match='may name a file or an address'):
        model.save_pretrained(tmp_path / 'shared')
    assert not (tmp_path / 'shared/config.py').exists()
    del model.cfg.model.decode_head['extra']


def test_a_shared_model_of_another_config_is_written_with_that(shared, tmp_path):
    config = tmp_path / 'calibrated.py'
    config.write_text(
        (shared / 'config.py').read_text() + "\nmodel['test_cfg']['temperature'] = 2.5\n"
    )
    calibrated = mmseg_uvpt.load(config, shared / 'model.safetensors')
    assert calibrated.model.test_cfg['temperature'] == 2.5
    calibrated.save_pretrained(tmp_path / 'again')
    again = mmseg_uvpt.from_pretrained(tmp_path / 'again')
    assert again.model.test_cfg['temperature'] == 2.5


def test_what_loads_an_image_is_ours(shared):
    """mmseg's `LoadBiomedicalData` would unpickle it."""
    text = (shared / 'config.py').read_text()
    loads = "type='LoadImageChecked'"
    evil = text.replace(loads, "type='LoadBiomedicalData', decode_backend='pickle'")
    (shared / 'config.py').write_text(evil)
    steps = mmseg_uvpt.from_pretrained(shared).cfg.test_dataloader.dataset.pipeline
    assert [step['type'] for step in steps] == ['LoadImageChecked', 'Resize', 'PackSegInputs']


def test_a_config_that_never_ends(shared):
    (shared / 'config.py').unlink()
    os.mkfifo(shared / 'config.py')
    with pytest.raises(UserError, match='is no shared model'):
        mmseg_uvpt.from_pretrained(shared)


def test_imports_that_a_shared_config_asks_for_are_not_made(shared):
    with (shared / 'config.py').open('a') as file:
        file.write("\ncustom_imports = dict(imports=['this'])\n")
    mmseg_uvpt.from_pretrained(shared)
    assert 'this' not in sys.modules


def test_a_repository_of_the_hub(model, shared, monkeypatch, tmp_path):
    """The hub itself is replaced: what is handed over, and what is asked for."""
    calls = {}

    class Hub:
        def create_repo(self, name, private, exist_ok):
            calls['made'] = name, private

        def upload_folder(self, repo_id, folder_path):
            calls['files'] = {path.name for path in type(shared)(folder_path).iterdir()}
            return SimpleNamespace(__str__=lambda self: 'address')

    monkeypatch.setattr(huggingface_hub, 'HfApi', Hub)
    model.push_to_hub('me/model')
    assert calls == {
        'made': ('me/model', True),
        'files': {'model.safetensors', 'config.py', 'README.md'},
    }
    monkeypatch.setattr(
        huggingface_hub, 'snapshot_download', lambda name, **how: calls.update(how) or str(shared)
    )
    again = mmseg_uvpt.from_pretrained('me/model', revision='v1')
    np.testing.assert_array_equal(again(IMAGE).classes, model(IMAGE).classes)
    assert calls['revision'] == 'v1'
    assert calls['allow_patterns'] == ['model.safetensors', 'config.py', 'README.md']


def test_what_is_no_shared_model(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r'is no shared model: config\.py does not exist'):
        mmseg_uvpt.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="has no revisions: leave out 'v9'"):
        mmseg_uvpt.from_pretrained(tmp_path, revision='v9')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    with pytest.raises(UserError, match='nobody/nothing is no folder, and the hub'):
        mmseg_uvpt.from_pretrained('nobody/nothing')
