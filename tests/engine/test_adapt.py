"""``uvpt adapt``: from a model and a nasty folder to a model, a verdict and a page."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from nasty_folder import GOOD, make_nasty_folder, scene
from PIL import Image

import mmseg_uvpt
from mmseg_uvpt.adapting import command_stages, inputs, preparation, steps, trial
from mmseg_uvpt.adapting.named_model import read_model
from mmseg_uvpt.adapting.steps import _LOCK
from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.commands import adapt
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.file_lock import alone
from mmseg_uvpt.subcommands import SUBCOMMANDS

REPOSITORY = Path(__file__).resolve().parents[2]
QUICK = ['--size', '64', '32', '--iterations', '3', '--batch-size', '2', '--workers', '1']


@pytest.fixture(scope='module')
def photographs(tmp_path_factory) -> Path:
    return make_nasty_folder(tmp_path_factory.mktemp('nasty') / 'photos')


@pytest.fixture(scope='module')
def labelled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('labelled')
    for i in range(3):
        Image.fromarray(scene(20 + i)).save(folder / f'{i}.jpg')
        label = np.random.default_rng(i).integers(0, 19, (64, 96)).astype(np.uint8)
        cv2.imwrite(str(folder / f'{i}_labelTrainIds.png'), label)
    return folder


@pytest.fixture
def call(monkeypatch):
    """Return a function that adapts as at the shell, but for its commands: they run in here."""
    ran = []

    def run_command(command, out=None, err=None):
        script, *arguments = command
        ran.append(script)
        subcommand = next(each for each in SUBCOMMANDS.values() if each.script == script)
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'argv', [script, *arguments])
            return import_module(subcommand.module).main(*subcommand.arguments) or 0

    monkeypatch.setattr(command_stages, 'run_command', run_command)
    monkeypatch.setattr(trial, 'run_command', run_command)

    def run(*arguments):
        ran.clear()
        with monkeypatch.context() as patch:
            patch.setattr(sys, 'argv', ['adapt', *map(str, arguments)])
            assert adapt.main() == 0
        return list(ran)

    return run


def test_a_nasty_folder_ends_in_a_model(
    call, finished, photographs, labelled, tmp_path, capfd, monkeypatch
):
    out = tmp_path / 'Rome, Italy'
    arguments = [finished, photographs, '--labelled', labelled, '--out', out, *QUICK]
    ran = call(*arguments)
    assert ran == [
        *('train.py', 'train.py', 'test.py'),  # the first one tries the plan
        *('tools/predict.py', 'tools/report.py'),
    ]
    told = capfd.readouterr().out
    record = json.loads((out / 'adapt.json').read_text())
    assert record['verdict']['sentence'] in told
    assert record['verdict']['judged_by'] == 'labels'
    assert 'cut.jpg' in told
    assert record['photographs']['used'] == len(GOOD)
    predicted = {p.relative_to(out / 'predictions') for p in out.rglob('*_classes.png')}
    assert predicted == {Path(f'{Path(n).with_suffix("")}_classes.png') for n in GOOD}
    turned = cv2.imread(str(out / 'predictions/holiday/day 2/turned_classes.png'), -1)
    assert turned.shape == (96, 64)
    assert 'verdict' in (out / 'report.html').read_text().lower()
    card = (out / 'README.md').read_text()
    assert record['verdict']['sentence'] in card
    assert '\n# Rome, Italy\n' in card

    selected = json.loads((out / 'adaptation/selection.json').read_text())['selected']
    adapted = 'adaptation/selected.pth' if selected else 'adaptation/iter_3.pth'
    chosen = adapted if record['verdict']['adapted'] else 'source.pth'
    trained = mmseg_uvpt.load(out / 'adaptation.py', out / chosen)
    left = mmseg_uvpt.load(out / 'config.py', out / 'model.safetensors')
    shared = mmseg_uvpt.from_pretrained(out)
    assert shared.model.test_cfg['temperature'] == record['temperature']
    image = str(photographs / GOOD[0])
    np.testing.assert_array_equal(left(image).confidence, shared(image).confidence)
    np.testing.assert_array_equal(trained(image).classes, shared(image).classes)

    (out / 'README.md').write_text(f'{card}\nlicence: mine\n')
    assert call(*arguments) == []  # nothing is done twice
    assert 'licence: mine' in (out / 'README.md').read_text()
    assert record['verdict']['sentence'] in capfd.readouterr().out
    with pytest.raises(UserError, match=r'other arguments \(iterations was 3, now 4\)'):
        call(*arguments, '--iterations', 4)
    with monkeypatch.context() as patch:
        patch.setattr(inputs, 'file_hash', lambda path: 'of another file')
        with pytest.raises(UserError, match=r'model .* changed after .* name another --out'):
            call(*arguments)
    Image.fromarray(scene(30)).save(labelled / 'one more.png')
    with pytest.raises(UserError, match=r'labelled .* changed after .* put back what was there'):
        call(*arguments)
    (labelled / 'one more.png').unlink()


@pytest.mark.slow
def test_the_correction_is_held_against_the_truth_of_the_photographs(
    call, finished, tmp_path, capfd
):
    """Where all of them have label maps, as in the demo: they are never trained on."""
    rng, city = np.random.default_rng(0), tmp_path / 'city'
    for split, number in (('train', 4), ('val', 2)):
        for i in range(number):
            image = city / f'leftImg8bit/{split}/ulm/ulm_{i}_leftImg8bit.png'
            label = city / f'gtFine/{split}/ulm/ulm_{i}_gtFine_labelTrainIds.png'
            for path in (image, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(scene(i + 10 * number)).save(image)
            cv2.imwrite(str(label), rng.integers(0, 19, (64, 96)).astype(np.uint8))
    out, images = tmp_path / 'out', city / 'leftImg8bit/train'
    call(
        *(finished, images, '--labelled', city, '--out', out, '--method', 'uni-uvpt'),
        *('--queue', '2', '--correction-interval', '1', *QUICK),
    )
    said = 'The label correction, against the truth that no training sees: labels '
    assert said in capfd.readouterr().out
    assert (out / 'adaptation/label_correction_truth.csv').is_file()
    assert len(list((out / 'labels').rglob('ulm_*_gtFine_labelTrainIds.png'))) == 4


@pytest.mark.slow
def test_the_published_method_labels_first(call, finished, photographs, tmp_path):
    out = tmp_path / 'out'
    ran = call(finished, photographs, '--out', out, '--method', 'uni-uvpt', *QUICK)
    assert ran == [
        *('generate_pseudo_label.py', 'train.py', 'generate_pseudo_label.py', 'train.py'),
        *('tools/predict.py', 'tools/report.py'),
    ]
    verdict = json.loads((out / 'adapt.json').read_text())['verdict']
    assert verdict['judged_by'] == 'label-free criteria'


def test_a_dry_run_leaves_nothing(call, finished, photographs, tmp_path, capfd, monkeypatch):
    out = tmp_path / 'out'
    monkeypatch.setattr(preparation, 'norms_of_source', lambda model: [])
    assert call(finished, photographs, '--out', out, *QUICK, '--dry-run') == ['train.py']
    assert not list(tmp_path.iterdir())
    told = capfd.readouterr().out
    for word in ('--iterations', '--lr', 'time', 'memory', 'disk', 'will be kept: --labelled DIR'):
        assert word in told


def test_a_dry_run_that_is_told_to_stop_leaves_nothing(
    finished, photographs, tmp_path, monkeypatch
):
    def stopped(args, made):
        (made / 'source.pth').write_bytes(b'begun')
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(steps, 'prepare', stopped)
    words = ['adapt', finished, photographs, '--out', tmp_path / 'out', '--dry-run']
    monkeypatch.setattr(sys, 'argv', [str(word) for word in words])
    assert adapt.main() == 130
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_done_is_said_before_anything_is_written(
    call, finished, photographs, tmp_path, monkeypatch
):
    out = tmp_path / 'out'
    for arguments, says in (
        (['none.pth', photographs], r'model none\.pth does not exist'),
        ([photographs, finished], 'MODEL is named first'),
        ([finished, tmp_path / 'none'], 'is no folder'),
        (
            [finished, photographs, '--labelled', photographs / 'video'],
            'no photograph with a label map',
        ),
    ):
        with pytest.raises(UserError, match=says):
            call(*arguments, '--out', out)
        assert not (out / 'adapt.json').exists()
    one = tmp_path / 'one'
    one.mkdir()
    (one / 'a.png').write_bytes((photographs / 'look_0.png').read_bytes())
    cheap = trial.Costs(1.0, 1.0, 1.0, 1, None, 1, 1, 1, 1)
    monkeypatch.setattr('mmseg_uvpt.adapting.preparation.try_plan', lambda *_: cheap)
    with pytest.raises(UserError, match=r'--hours 0\.001 do not suffice'):
        call(finished, one, '--out', out, *QUICK, '--iterations', 90, '--hours', 0.001)
    assert not (out / 'adapt.json').exists()
    with pytest.raises(UserError, match=f'lies in {photographs}, which is read'):
        call(finished, photographs, '--out', photographs / 'out')
    with pytest.raises(UserError, match=f'lies in {one}, which is read'):
        call(finished, photographs, '--labelled', one, '--out', one / 'out')
    with (
        alone(out / _LOCK, ''),
        pytest.raises(UserError, match='another call of uvpt adapt works in'),
    ):
        call(finished, one, '--out', out, *QUICK)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/letter.txt').touch()
    with pytest.raises(UserError, match='holds other files'):
        call(finished, photographs, '--out', tmp_path / 'mine')
    own = tmp_path / 'own/source.pth'
    own.parent.mkdir()
    own.write_bytes((finished / 'iter_4.pth').read_bytes())
    for model in (own, finished):
        with pytest.raises(UserError, match=r'holds other files, as source\.pth'):
            call(model, photographs, '--out', own.parent)
    (own.parent / _LOCK).touch()  # as a call leaves that was stopped early
    with pytest.raises(UserError, match=r'--out would overwrite .*own/source\.pth, which is read'):
        call(own, photographs, '--out', own.parent)
    assert own.read_bytes() == (finished / 'iter_4.pth').read_bytes()
    monkeypatch.setattr(trial.shutil, 'disk_usage', lambda _: type('', (), {'free': 5}))
    with pytest.raises(UserError, match=r'of disk, and 5 bytes are free'):
        call(finished, one, '--out', tmp_path / 'full', *QUICK)


@pytest.mark.parametrize(
    ('used', 'distinct', 'says'),
    [
        (4, 4, 'of fewer than 5 photographs .* the source model will be kept'),
        (9, 9, 'of 9 photographs the guard can hardly be sure'),
        (64, 1, 'of 64 photographs 1 look different.* the guard is surer than it should be'),
        (64, 10, '$'),
    ],
)
def test_what_the_guard_can_make_of_few_photographs(used, distinct, says):
    assert re.match(says, preparation._of_few(used, distinct))


def test_other_photographs_under_the_same_names_are_noticed(tmp_path):
    """Of the same length, too, as all bitmaps of a size are."""
    given = Namespace(model='none', config=None, photographs=str(tmp_path), labelled=None)
    hashes = set()
    for number in range(2):
        Image.fromarray(scene(number)).save(tmp_path / '0.bmp')
        hashes.add(inputs.inputs_of(given)['photographs'])
    assert len(hashes) == 2


def test_hours_that_do_not_suffice_for_all_iterations_make_fewer_of_them(
    call, finished, photographs, tmp_path, monkeypatch, capfd
):
    cheap = trial.Costs(1.0, 0.0, 0.0, 1, None, 1, 1, 1, 1)
    monkeypatch.setattr('mmseg_uvpt.adapting.preparation.try_plan', lambda *_: cheap)
    out = tmp_path / 'out'
    call(
        finished,
        photographs,
        '--out',
        out,
        *QUICK,
        '--iterations',
        90,
        '--hours',
        0.01,
        '--dry-run',
    )
    assert '| 36 ' in capfd.readouterr().out  # 0.01 hours of iterations that take a second


def test_a_config_of_ours_names_the_classes(finished, source_config, tmp_path):
    """Its own, or those of its data sets, where the checkpoint says nothing of them."""
    loaded = load_file(finished / 'iter_4.pth')
    torch.save({'state_dict': loaded['state_dict']}, tmp_path / 'plain.pth')
    found = read_model(str(tmp_path / 'plain.pth'), str(source_config))
    assert list(found.classes) == list(loaded['meta']['dataset_meta']['classes'])
    head = {k: t[:3] for k, t in loaded['state_dict'].items() if 'conv_seg' in k}
    torch.save({'state_dict': loaded['state_dict'] | head}, tmp_path / 'three.pth')
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = {str(source_config)!r}\nmetainfo = dict(classes=['a', 'b', 'c'])\n")
    found = read_model(str(tmp_path / 'three.pth'), str(own))
    assert (found.classes, found.model['decode_head']['num_classes']) == (('a', 'b', 'c'), 3)


def test_a_model_can_be_named_in_several_ways(finished, tmp_path):
    folder = read_model(str(finished))
    file = read_model(str(finished / 'iter_4.pth'))
    mmseg_uvpt.load(finished / 'config.py', finished / 'iter_4.pth').save_pretrained(tmp_path)
    shared = read_model(str(tmp_path))
    for other in (file, shared):
        assert other.scale == folder.scale == (64, 32)
        assert tuple(other.classes) == tuple(folder.classes)
        assert other.state_dict.keys() == folder.state_dict.keys()
        for name, tensor in folder.state_dict.items():
            assert torch.equal(other.state_dict[name], tensor)
    assert shared.not_staged is None
    with pytest.raises(UserError, match=r'has a config of its own: leave out --config x\.py'):
        read_model(str(tmp_path), 'x.py')
    text = (tmp_path / 'config.py').read_text()
    (tmp_path / 'config.py').write_text(text.replace("'StagedSwin'", "'SwinTransformer'"))
    assert 'SwinTransformer is not run' in read_model(str(tmp_path)).not_staged
    with pytest.raises(UserError, match=r'me/town-v1\.2'):
        read_model('me/town-v1.2')
    bare = tmp_path / 'bare.pth'
    torch.save(torch.load(finished / 'iter_4.pth', weights_only=False)['state_dict'], bare)
    with pytest.raises(UserError, match=r'holds no config .*--config'):
        read_model(str(bare))
    assert read_model(str(bare), str(finished / 'config.py')).scale == (64, 32)


@pytest.mark.slow
def test_stopped_at_any_moment_the_same_command_goes_on(finished, photographs, tmp_path):
    """Through the shell: killed and stopped, and at the end the result of a run never stopped."""
    command = [sys.executable, str(REPOSITORY / 'tools/adapt.py'), str(finished), str(photographs)]
    outs = [tmp_path / name for name in ('whole', 'stopped')]
    quick = [*QUICK, '--iterations', '30']  # the last one counts
    subprocess.run([*command, '--out', str(outs[0]), *quick], check=True, cwd=tmp_path)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen([*command, '--out', str(outs[1]), *quick], cwd=tmp_path)
        begin = time.monotonic()
        while not (outs[1] / 'adapt.json').exists() and time.monotonic() - begin < 120:
            time.sleep(0.1)
        time.sleep(4)
        process.send_signal(number)
        process.wait(60)
        time.sleep(2)  # what it started ends with it
    subprocess.run([*command, '--out', str(outs[1]), *quick], check=True, cwd=tmp_path)
    whole, stopped = (
        torch.load(out / 'adaptation/iter_30.pth', weights_only=False)['state_dict'] for out in outs
    )
    assert all(torch.equal(stopped[name], tensor) for name, tensor in whole.items())
    sentences = {json.loads((o / 'adapt.json').read_text())['verdict']['sentence'] for o in outs}
    assert len(sentences) == 1
    assert {*os.listdir(outs[0])} == {*os.listdir(outs[1])}


def test_options_of_the_other_method_are_refused(call, finished, photographs, capsys):
    with pytest.raises(SystemExit):
        call(finished, photographs, '--queue', 5)
    assert 'belong to --method uni-uvpt' in capsys.readouterr().err
