"""Outputs never replace inputs, labels or files of others."""

import json
import os
import shutil
import sys

import cv2
import numpy as np
import pytest

from mmseg_uvpt.datasets.files.predicted_files import PREDICTIONS
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.inference.images import CLASSES, predict_images
from mmseg_uvpt.engine.scripts import test
from mmseg_uvpt.engine.work_folder.outputs import claim_folder
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import refuse_to_replace

FACTS = {'checkpoint_sha256': 'a', 'checkpoint': 'x.pth'}


def state(folder):
    """Return what is in a folder: names and contents."""
    return {str(p): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


@pytest.fixture
def photos(tmp_path):
    """A folder with two photographs."""
    for i, name in enumerate(('a.png', 'town/b.jpg')):
        path = tmp_path / 'photos' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (32, 48 + 16 * i, 3))
        cv2.imwrite(str(path), pixels.astype(np.uint8))
    return tmp_path / 'photos'


@pytest.fixture
def predict(finished, source_config):
    """Predict images; return how many."""

    def run(*images, out, checkpoint=finished / 'iter_4.pth', **more) -> int:
        names = [str(image) for image in images]
        about = str(checkpoint), names, str(out), 'the command'
        return predict_images(read(source_config), *about, **more).images

    return run


@pytest.fixture
def show(finished, source_config, data_root, tmp_path):
    """Test the model and show its predictions; return the data root."""

    def run(folder, *options: str):
        where = ['--data-root', str(data_root), '--work-dir', str(tmp_path / 'work')]
        shown = ['--show-dir', str(folder)] if folder else []
        arguments = [str(source_config), str(finished / 'iter_4.pth'), *where, *shown]
        test.main([*arguments, *options])
        return data_root

    return run


def spellings(folder):
    link = folder.parent / 'link'
    link.symlink_to(folder)
    return [folder, folder / '../photos', f'{folder}/', link, os.path.relpath(folder)]


def test_predictions_over_the_photographs(predict, photos):
    before = state(photos)
    for out in spellings(photos):
        with pytest.raises(UserError, match=r'^--out would overwrite .*a\.png, which is read'):
            predict(photos, out=out)
        with pytest.raises(UserError, match=r'^--out would overwrite .*a\.png, which is read'):
            predict(photos / 'a.png', out=out)
    hard = photos.parent / 'seen/a.png'
    hard.parent.mkdir()
    os.link(photos / 'a.png', hard)
    with pytest.raises(UserError, match=r'would overwrite .*, by writing .*seen/a\.png: choose'):
        predict(photos, out=hard.parent)
    assert state(photos) == before
    assert os.listdir(hard.parent) == ['a.png']


@pytest.mark.slow
def test_the_same_command_again(predict, photos, tmp_path):
    """Also into a folder within the photographs: results are no photographs."""
    out = photos / 'seen'
    assert predict(photos, out=out) == 2
    first = state(photos)
    assert predict(photos, out=out) == 2
    second = state(photos)
    record = str(out / PREDICTIONS)
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first if name != record)
    ends = ('.png', CLASSES)
    names = sorted(f'{name}{end}' for name in ('a', 'town/b') for end in ends)
    assert json.loads(second[record])['files'] == names
    assert predict(photos / 'town/b.jpg', out=out) == 1  # more of the same model
    noted = json.loads((out / PREDICTIONS).read_text())['files']
    assert noted == sorted([*names, *(f'b{end}' for end in ends)])
    shutil.rmtree(out)
    out.mkdir()  # as version 0.1 left it, which noted no files
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(first[str(out / name)])
    old = {key: value for key, value in json.loads(second[record]).items() if key != 'files'}
    (out / PREDICTIONS).write_text(json.dumps(old))
    assert predict(photos / 'a.png', out=out) == 1


def test_files_of_others_stay(predict, photos, tmp_path, finished):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'a.png').write_text('mine')
    with pytest.raises(UserError, match=r'holds .*out/a\.png, which no earlier run wrote'):
        predict(photos, out=out)
    (out / PREDICTIONS).write_text('{"mine": 1}')
    with pytest.raises(UserError, match=r'predictions\.json is no record of predictions made'):
        predict(photos, out=out)
    assert state(out) == {str(out / 'a.png'): b'mine', str(out / PREDICTIONS): b'{"mine": 1}'}
    shutil.rmtree(out)
    predict(photos, out=out)
    before = state(out)
    with pytest.raises(UserError, match=r'holds predictions of another checkpoint, .*iter_4\.pth'):
        predict(photos, out=out, checkpoint=finished / 'iter_2.pth')
    with pytest.raises(UserError, match=r'made with .*abstain None and not .*abstain 0\.3'):
        predict(photos / 'a.png', out=out, abstain=0.3)  # town/b.png would not be of that
    assert state(out) == before


def test_results_of_the_same_name(tmp_path):
    def claim(*files):
        claim_folder(tmp_path / 'out', files, [], FACTS, '--out')

    with pytest.raises(UserError, match=r'two results would be a\.png'):
        claim('a.png', 'a.png')
    for files in (('a.png', 'A.png'), ('Predictions.JSON',)):
        with pytest.raises(UserError, match='would be one file where capitals do not count'):
            claim(*files)
    assert not (tmp_path / 'out').exists()
    claim('a.png', 'b/a.png')


def test_shown_predictions_over_images_or_labels(show, data_root):
    before = state(data_root)
    folder = data_root / 'cityscapes/leftImg8bit/val'
    with pytest.raises(UserError, match=r'^--show-dir would overwrite .*_0_leftImg8bit\.png'):
        show(folder)
    labels = data_root / 'cityscapes/gtFine/val/bonn'
    for path in labels.iterdir():  # labels that are called as the images are
        name = path.name.replace('gtFine_labelTrainIds', 'leftImg8bit')
        path.rename(path.with_name(name))
    before = state(data_root)
    with pytest.raises(UserError, match=r'^--show-dir would overwrite .*gtFine'):
        show(
            data_root / 'cityscapes/gtFine/val',
            *('--cfg-options', 'test_dataloader.dataset.seg_map_suffix=_leftImg8bit.png'),
        )
    assert state(data_root) == before


def test_shown_predictions_again(show, tmp_path):
    show(tmp_path / 'shown')
    first = state(tmp_path / 'shown')
    assert len(first) == 3
    show(tmp_path / 'shown')
    assert state(tmp_path / 'shown').keys() == first.keys()
    (tmp_path / 'other/bonn').mkdir(parents=True)
    (tmp_path / 'other/bonn/bonn_0_leftImg8bit.png').write_text('mine')
    with pytest.raises(UserError, match='which no earlier run wrote'):
        show(tmp_path / 'other')
    assert (tmp_path / 'other/bonn/bonn_0_leftImg8bit.png').read_text() == 'mine'


@pytest.mark.parametrize('text', ['{"version": 1}', '[1]', 'no JSON', ''])
def test_a_result_over_something_else(show, tmp_path, text):
    out = tmp_path / 'mine.json'
    out.write_text(text)
    with pytest.raises(UserError, match=r'mine\.json .*name another file with --out'):
        show(None, '--out', str(out))
    assert out.read_text() == text


def test_a_file_that_exists(tmp_path):
    there, link = tmp_path / 'a.png', tmp_path / 'link.png'
    there.write_text('mine')
    link.symlink_to(there)
    (tmp_path / 'folder').mkdir()
    with pytest.raises(UserError, match=r'a\.png exists: .* replace it with --force'):
        refuse_to_replace(there, [], force=False)
    refuse_to_replace(there, [], force=True)
    for path in (there, link, tmp_path / 'folder/../a.png'):
        with pytest.raises(UserError, match=r'would overwrite .*a\.png, which is read'):
            refuse_to_replace(path, [tmp_path / 'none', there], force=True)
    with pytest.raises(UserError, match='folder is a folder'):
        refuse_to_replace(tmp_path / 'folder', [], force=True)


@pytest.mark.parametrize('form', ['markdown', 'csv', 'json'])
def test_a_table_over_something_else(tmp_path, form, monkeypatch):
    import runpy

    out = tmp_path / 'README.md'

    def write():
        arguments = ['results_table.py', '--format', form, '--out', str(out)]
        monkeypatch.setattr(sys, 'argv', arguments)
        with pytest.raises(SystemExit) as end:
            runpy.run_path('tools/results_table.py', run_name='__main__')
        return end.value.code

    assert write() == 0
    table = out.read_text()
    assert write() == 0
    assert out.read_text() == table
    out.write_text('# Mine')
    assert write() == 1
    assert out.read_text() == '# Mine'
