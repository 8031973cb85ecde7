"""tools/adapt_stream.py: each image is predicted, then trained on, once through the domains."""

import json
import os
import runpy
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import killed_runs
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper

from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.hooks.stream_scores import StreamHook
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.errors import STOPPED, UserError

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = REPOSITORY / 'tools/adapt_stream.py'
TEXT = """
_base_ = ['{config}', '{methods}']
model = dict(**_base_.{method}{more})
optim_wrapper = dict(optimizer=dict(lr=0.05))
"""
COTTA = ", momentum=0.5, mask_patch=16, anchors=[dict(type='RestoreWeights')]"


@pytest.fixture
def domains(data_root, tmp_path) -> list[Path]:
    """Two data roots of the same image, one without its label, one of which nothing is labelled."""
    for file in (data_root / 'cityscapes').rglob('bonn_1*.png'):
        file.unlink()
    names = ('again', 'unlabelled', 'void')
    copies = [shutil.copytree(data_root, tmp_path / name) for name in names]
    shutil.rmtree(copies[1] / 'cityscapes/gtFine')
    for label in (copies[2] / 'cityscapes/gtFine/val').rglob('*.png'):
        cv2.imwrite(str(label), cv2.imread(str(label), cv2.IMREAD_UNCHANGED) * 0 + 255)
    return [data_root, *copies]


@pytest.fixture
def run_tool(monkeypatch, tmp_path, adaptation_config, finished):
    def run(method: str, more: str = '', arguments: tuple = ()) -> dict:
        """Return the scores by domain, and the config of the method."""
        config = tmp_path / f'{method}.py'
        methods = REPOSITORY / 'configs/_base_/methods.py'
        fields = {'config': adaptation_config, 'methods': methods, 'method': method, 'more': more}
        config.write_text(TEXT.format(**fields))
        command = [config, '--source-checkpoint', finished / 'iter_4.pth', *arguments]
        command += ['--work-dir', tmp_path / f'{method}-{len(arguments)}']
        monkeypatch.setattr(sys, 'argv', [TOOL.name, *map(str, command)])
        runpy.run_path(str(TOOL))['main']()
        return json.loads((Path(command[-1]) / 'stream.json').read_text())

    return run


def of_source(config: Path, checkpoint: Path, root: Path) -> list[int]:
    """Return what the source model counts of a root's image."""
    cfg = read(config)
    (image,) = (root / 'cityscapes/leftImg8bit/val').rglob('*.png')
    (label,) = (root / 'cityscapes/gtFine/val').rglob('*.png')
    classes = Predictor(cfg, checkpoint)(image).classes
    truth = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
    return [int(((classes == number) & (truth == number)).sum()) for number in range(19)]


@pytest.mark.parametrize(
    ('method', 'more'),
    [
        pytest.param('tent', '', id='tent'),
        pytest.param('adabn', '', id='adabn', marks=pytest.mark.slow),
        pytest.param('mean_teacher', COTTA, id='cotta-like', marks=pytest.mark.slow),
    ],
)
def test_predictions_on_the_way(
    run_tool, domains, adaptation_config, finished, tmp_path, method, more
):
    scores = run_tool(method, more, ('--domains', *domains))
    names = [str(domain / 'cityscapes') for domain in domains]
    assert list(scores) == names[:2]  # the others have no labels
    expected = of_source(adaptation_config, str(finished / 'iter_4.pth'), domains[0])
    assert scores[names[0]]['intersection'] == expected
    assert scores[names[1]]['intersection'] != expected
    assert (tmp_path / f'{method}-5/iter_4.pth').is_file()
    if method == 'tent':
        again = run_tool(method, more, ('--domains', *domains, domains[0], '--reset'))
        assert list(again) == [*names[:2], f'{names[0]} (2)']  # it came back to the first
        assert all(score == scores[names[0]] for score in again.values())


def test_domains_of_another_data_set(run_tool, tmp_path):
    """Its layout says where the labels are; a domain is its folder, or one that holds it."""
    random = np.random.default_rng(0)
    roots = [tmp_path / 'all/acdc', tmp_path / 'night']
    for root in roots:
        for file, high in (('rgb_anon', 255), ('gt', 19)):
            end = 'rgb_anon' if high == 255 else 'gt_labelTrainIds'
            path = root / file / 'fog/val/GP01' / f'GP01_frame_000001_{end}.png'
            path.parent.mkdir(parents=True)
            pixels = random.integers(0, high, (64, 96, 3) if high == 255 else (64, 96))
            assert cv2.imwrite(str(path), pixels.astype(np.uint8))
    more = """)
driving = dict(type='DrivingDataset', layout='acdc', data_root='data/acdc', data_prefix=None)
steps = [dict(type='LoadImageChecked'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(dataset=dict(**driving, split='val', pipeline=steps)"""
    arguments = ('--domains', tmp_path / 'all', roots[1])
    assert list(run_tool('tent', more, arguments)) == list(map(str, roots))
    shutil.rmtree(roots[1] / 'gt')
    assert run_tool('tent', more, ('--domains', roots[1])) == {}
    log = next((tmp_path / 'tent-2').glob('*/*.log')).read_text()
    assert 'no domain has labels, so nothing says how good they were' in log


def test_a_method_that_needs_labels_is_refused(run_tool):
    with pytest.raises(UserError, match='SelfTraining trains on pseudo labels, which a stream'):
        run_tool('self_training')


def test_a_stream_that_was_stopped_is_begun_anew(run_tool, data_root, tmp_path, monkeypatch):
    """Its counts of the images before are lost."""
    arguments = ('--data-root', data_root, '--cfg-options', 'resume=True')
    with monkeypatch.context() as patch:
        patch.setattr(
            StreamHook, 'before_train_iter', lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
        )
        with pytest.raises(SystemExit) as stopped:
            run_tool('tent', arguments=arguments)
    assert stopped.value.code == STOPPED
    log = next((tmp_path / 'tent-4').glob('*/*.log')).read_text()
    assert 'cannot go on, begin it anew in another --work-dir' in log
    assert '--resume' not in log
    with pytest.raises(UserError, match=r'tent-4 holds a run: a stream cannot go on'):
        run_tool('tent', arguments=arguments)


def test_several_processes_are_refused(run_tool, data_root, capfd):
    def main(_: list[str]) -> None:
        run_tool('tent', arguments=('--data-root', data_root))

    assert killed_runs.statuses_together(main, []) == [1, 1]
    assert capfd.readouterr().err.count('run it in one process') == 2


def test_a_domain_begins_without_the_gradients_of_the_former_one():
    model = torch.nn.Linear(1, 1)
    model.begin_training = lambda: None
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1), accumulative_counts=3)
    wrapper.update_params(model(torch.ones(1)).sum())
    hook = StreamHook(['a', 'b'], 'stream.json', reset=True)
    hook._ends, hook._source = [1, 2], model.state_dict()
    runner = SimpleNamespace(iter=0, model=model, optim_wrapper=wrapper, logger=MMLogger('stream'))
    hook.after_train_iter(runner)
    assert not any(p.grad is not None and p.grad.any() for p in model.parameters())
