"""What is derived of a model and of photographs."""

from argparse import Namespace
from pathlib import Path

import pytest

from mmseg_uvpt.adapting import BEST, PUBLISHED
from mmseg_uvpt.adapting.adaptation_plan import derive
from mmseg_uvpt.adapting.photographs import Survey
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.importing.source_model import SourceModel

OPTIONS = (
    *('size', 'crop', 'iterations', 'batch_size', 'lr', 'interval', 'correction_interval'),
    *('queue', 'workers', 'precision'),
)


def plan(photographs=240, scale=(1024, 512), backbone='StagedSwin', gpu=False, batch=1, **asked):
    source = SourceModel(
        'model.pth',
        '',
        {'backbone': {'type': backbone}},
        {},
        ('a', 'b'),
        batch_size=batch,
        scale=scale,
    )
    names = [f'{i}.jpg' for i in range(photographs)]
    found = Survey(Path('photographs'), names, (512, 1024), 1, photographs)
    nothing = dict.fromkeys(OPTIONS)
    return derive(source, found, gpu, Namespace(**{'method': BEST, **nothing, **asked}))


@pytest.mark.parametrize(
    ('photographs', 'iterations', 'rate'),
    [(1, 240, 1e-4), (240, 240, 1e-4), (300, 300, 9.8e-5), (2975, 2975, 3.1e-5)],
)
def test_iterations_follow_the_photographs_and_the_rate_follows_them(photographs, iterations, rate):
    found = plan(photographs)
    assert (found.iterations, found.learning_rate) == (iterations, rate)


def test_at_the_published_length_the_rate_is_the_published_one():
    assert plan(iterations=80_000).learning_rate == 6e-6
    assert plan(iterations=80_000, backbone='StagedMiT').learning_rate == 4e-6
    assert plan(10**6).iterations == 80_000
    assert plan(iterations=80_000).momentum == pytest.approx(0.999)
    assert plan(240).momentum == pytest.approx(0.99)


def test_size_and_crop_follow_the_source_model():
    assert (plan(scale=(320, 160)).size, plan(scale=(320, 160)).crop) == ((320, 160), (160, 160))
    assert plan(scale=None).size == (1024, 512)


def test_what_the_published_method_needs():
    found = plan(2975, method=PUBLISHED, iterations=80_000)
    assert (found.correction_interval, found.queue_length) == (200, 743)
    found = plan(240, method=PUBLISHED)
    assert (found.correction_interval, found.queue_length) == (10, 60)
    words = [row.what for row in found.rows(240, Namespace())]
    assert 'correction' in words
    assert 'correction' not in [row.what for row in plan().rows(240, Namespace())]


def test_each_can_be_overridden():
    asked = {
        **{'size': [640, 320], 'crop': [300, 200], 'iterations': 7, 'batch_size': 3, 'lr': 1e-5},
        **{'interval': 5, 'correction_interval': 2, 'queue': 9, 'workers': 6},
        'precision': 'float32',
    }
    found = plan(gpu=True, **asked)
    assert found.size == (640, 320)
    assert found.crop == (200, 300)  # height, width
    assert (found.iterations, found.batch_size, found.learning_rate) == (7, 3, 1e-5)
    assert (found.interval, found.correction_interval, found.queue_length) == (5, 2, 9)
    assert (found.workers, found.precision) == (6, 'float32')
    options = {row.option.split()[0] for row in plan(method=PUBLISHED).rows(240, Namespace())}
    named = {f'--{name.replace("_", "-")}' for name in asked}
    assert options == named | {'--method'}  # the table names an option for each


def test_a_crop_that_is_larger_than_photographs_is_refused():
    with pytest.raises(UserError, match=r'--crop 600 100: .* shorter side of 512 pixels'):
        plan(crop=[600, 100])


def test_the_device_decides_on_precision():
    assert plan(gpu=True).precision == 'bfloat16'
    assert plan(gpu=False).precision == 'float32'


def test_the_table_does_not_explain_what_was_asked_for():
    rows = plan(lr=1e-5).rows(240, Namespace(lr=1e-5, size=None))
    why = {row.what: row.why for row in rows}
    assert why['learning rate'] == 'as you asked'
    assert why['size'] == 'as the source model was tested'


def test_images_that_no_network_can_see_are_refused():
    with pytest.raises(UserError, match='--size 10 10: networks want 32 pixels'):
        plan(size=[10, 10])
