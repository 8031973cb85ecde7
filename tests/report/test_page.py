"""The page of a run: what it says, that it needs nothing else, and that names stay text."""

import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from made_up_runs import FILES, write
from mmengine.config import Config

from mmseg_uvpt.commands import report as command
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.report import after_run, page
from mmseg_uvpt.report.frames import Frame, Frames
from mmseg_uvpt.report.plots import evaluations
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.sweep import cli


class Elements(HTMLParser):
    """All elements with their attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found, self.text = [], ''
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp('runs') / '<b>bold' / 'run', {})


@pytest.fixture(scope='module')
def html(folder):
    """The page of one run, by the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['report', str(folder)])
        command.main()
    return (folder / 'report.html').read_text()


def test_it_says_what_the_folder_does(html):
    text = Elements(html).text
    assert 'Use the adapted model' in text
    assert 'adapted is better than source by 3.00 mIoU' in text
    assert 'iteration 2 was chosen & kept' in text
    assert '20 pixels mended, 60 spoilt: the correction spoils more than it mends' in text
    assert 'The recipe gone.py is not there any more' in text
    assert 'abc and changes' in text
    assert 'hours1.5' in ''.join(text.split())
    for shown in ('sky <i>', '+3.00', '+1.00 to +5.00', '41.00 to 45.00', '51.00 (49.00 to 53.00)'):
        assert shown in text
    assert 'No frame is predicted: ' in text  # there is no checkpoint
    assert len([tag for tag, _ in Elements(html).found if tag == 'svg']) == 6


def test_it_needs_nothing_else(html):
    elements = Elements(html).found
    for tag, attributes in elements:
        for name in ('src', 'href', 'xlink:href', 'data', 'action', 'srcset'):
            value = attributes.get(name, '#')
            assert value.startswith(('#', 'data:')), f'<{tag} {name}={value}>'
    assert not {'link', 'iframe', 'object', 'base'} & {tag for tag, _ in elements}
    assert '@import' not in html
    assert html.replace('http://www.w3.org/', '').count('http') == html.count('http-equiv')
    assert len(html.encode()) < page.LIMIT
    assert 'display: none' in html  # the style is there


def test_names_are_text(html):
    elements = Elements(html)
    assert not {'b>bold', 'tag', 'u', 'i'} & {tag for tag, _ in elements.found}
    assert elements.text.count('<b>bold/run') >= 2
    assert '<tag>.py' in elements.text


def test_each_element_has_an_identity_of_its_own(html):
    names = [attributes['id'] for _, attributes in Elements(html).found if 'id' in attributes]
    assert len(names) == len(set(names))


def test_a_chart_is_read_aloud(html):
    elements = Elements(html).found
    names = {attributes.get('id') for _, attributes in elements}
    for tag, attributes in elements:
        if tag == 'svg':
            assert attributes['role'] == 'img'
            assert set(attributes['aria-labelledby'].split()) <= names


def test_several_runs_stand_side_by_side(folder, tmp_path):
    other = write(
        tmp_path / 'other',
        {'selection.json': None, 'score.json': None, 'label_correction.csv': '{'},
    )
    out = page.write_report([folder, other], tmp_path / 'both.html', predict=False)
    text = Elements(out.read_text()).text
    assert 'Nothing to judge by' in text
    assert 'No evaluation was recorded in' in text
    assert text.count('/other') > 3


def test_what_is_damaged_is_named(work_folder):
    folder = work_folder(**{
        'selection.json': '{', 'config.py': '1 +', 'label_correction_truth.csv': 'a,class\n1',
        'label_correction.csv': 'iteration,class,event,pixels_changed\nx,road,start,0\n',
    })  # fmt: skip
    text = Elements(page.write_report([folder]).read_text()).text
    for name in ('selection.json', 'config.py', 'label_correction.csv'):
        assert f'{folder / name} cannot be read' in text


def test_half_a_line_is_none(work_folder):
    curve = 'iteration,class,iou\n1,road,0.5\n3,road,0.6\n5,ro'
    folder = work_folder(**{'label_correction_curve.csv': curve})
    text = Elements(page.write_report([folder]).read_text()).text
    assert 'road from 0.50 to 0.60' in text


def test_any_name_can_be_drawn(tmp_path):
    folders = [write(tmp_path / name / 'run', {}) for name in ('_a', '$\\q$', 'caf\udce9')]
    out = page.write_report(folders, tmp_path / 'all.html', predict=False)
    curve = out.read_text().partition('in the course of training')[2].partition('</svg>')[0]
    for name in ('_a/run', '$\\q$/run', 'caf\ufffd/run'):
        assert f'>{name}</text>' in curve


def test_a_curve_is_of_the_score_that_counts(work_folder):
    logged = (
        '{"mIoU": 40.0, "mIoU16": 44.0, "step": 2}\n{"mIoU": 41.0, "mIoU16": 47.5, "step": 2}\n'
    )
    config = FILES['config.py'] + "default_hooks = dict(checkpoint=dict(save_best='mIoU16'))\n"
    changes = {'20260101_100000/vis_data/scalars.json': logged, 'config.py': config}
    folder = work_folder(selection_json=None, **changes)
    assert evaluations(RunFolder(folder, 'run')) == [(2, 47.5, None, None)]
    text = Elements(page.write_report([folder]).read_text()).text
    assert 'mIoU16 by the labels in the course of training' in text


def test_a_page_replaces_pages_alone(work_folder, tmp_path):
    other, folder = tmp_path / 'notes.md', work_folder()
    other.write_text('mine')
    with pytest.raises(UserError, match=r'notes\.md exists, was not made here'):
        page.write_report([folder], other, predict=False)
    other.write_text('<!doctype html>\n<title>my site</title>')
    with pytest.raises(UserError, match=r'notes\.md exists, was not made here'):
        page.write_report([folder], other, predict=False)
    made = page.write_report([folder], predict=False)
    assert page.write_report([folder], predict=False) == made


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=f'{tmp_path} is no work folder'):
        page.write_report([tmp_path])


def test_frames_are_left_out_until_the_page_is_small_enough(work_folder, monkeypatch):
    def predicted(run):
        shown = [
            Frame(f'{i}.png', 0.5, (8, 4), 'data:,' + 'x' * 500_000, {'truth': 'data:,'}, {})
            for i in range(12)
        ]
        return Frames(('road',), [[1, 2, 3]], 40, shown)

    monkeypatch.setattr(page, 'predict_frames', predicted)
    html = page.write_report([work_folder()]).read_text()
    assert 3_000_000 < len(html.encode()) <= page.LIMIT
    assert '0.png' in html
    assert '11.png' not in html
    monkeypatch.setattr(page, 'LIMIT', 60_000)
    text = Elements(page.write_report([work_folder()]).read_text()).text
    assert '12 frames are left out' in text
    assert 'charts of the correction and of confusion are left out' in text
    assert 'This page takes more than 60.0 kB' in text
    for never in ('No frames were predicted', 'No label was corrected'):
        assert never not in text


def test_a_run_ends_with_a_page_that_cannot_fail_it(work_folder, monkeypatch):
    told = []
    monkeypatch.setattr(after_run, 'print_log', lambda text, *_: told.append(text))
    folder = work_folder()
    cfg = Config({'work_dir': str(folder), 'uvpt': {'report': False}})
    after_run.report_after(cfg)
    assert told == []
    cfg.uvpt.report = True
    monkeypatch.setattr(page, 'write_report', lambda folders: f'{folders[0]}/report.html')
    after_run.report_after(cfg)
    assert told == [f'wrote {folder}/report.html']
    monkeypatch.setattr(page, 'write_report', SimpleNamespace())  # which cannot be called
    after_run.report_after(cfg)
    assert 'no report was written (TypeError' in told[1]
    assert f'python tools/report.py {folder}' in told[1]


def test_launchers_write_a_page_on_finished_jobs(work_folder, tmp_path):
    folder = work_folder()

    def job(stage, **says):
        settings = SimpleNamespace(work_root=tmp_path)
        return SimpleNamespace(
            stage=stage, cfg=Config({'uvpt': says}), folder=folder, settings=settings
        )

    cli._report([job('pseudo_label'), job('train', report=False)])
    assert not [*tmp_path.glob('*.html')]
    cli._report([job('train'), job('train', report=False)])
    assert 'adapted is better than source' in (tmp_path / 'report_train.html').read_text()


def test_confidences_that_a_test_measured(tmp_path):
    half = {'confidence': 0.6, 'coverage': 0.5, 'accuracy': 0.9}
    measured = {
        'ece': 0.04,
        'coverage': [{'confidence': 0, 'coverage': 1, 'accuracy': 0.7}, half],
        **{'temperature': 0.8, 'ece_of_second_half': 0.05, 'ece_with_temperature': 0.01},
    }
    score = {**FILES['score.json'], 'calibration': measured}
    score['comparison'] = {**score['comparison'], 'source_calibration': {**measured, 'ece': 0.08}}
    out = page.write_report([write(tmp_path / 'run', {'score_json': score})], predict=False)
    text = Elements(out.read_text()).text
    assert 'source: confidences are 8.0 points off' in text
    assert 'adapted: confidences are 4.0 points off' in text
    assert 'a temperature of 0.80' in text
    assert 'from 70.0 % right of all pixels to 90.0 % of the 50.0 %' in text


def test_nothing_is_said_of_confidences_that_nobody_measured(html):
    assert 'No confidences were measured' in Elements(html).text
