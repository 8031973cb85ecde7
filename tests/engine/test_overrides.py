"""Values of ``--cfg-options``: which texts are lists, and which stay what they are."""

import pytest
from mmengine.config import Config

from mmseg_uvpt.engine.config.overrides import merge_options, option_of


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('1,2', [1, 2]),
        ('(96, 48)', (96, 48)),
        ('[a,b]', ['a', 'b']),
        ('my runs/source.pth', 'my runs/source.pth'),
        ('"runs/a, b.pth"', 'runs/a, b.pth'),
        ("'1'", '1'),
        ("'a", 'a'),
    ],
)
def test_quotation_marks_keep_a_text(text, value):
    cfg = Config({'key': None})
    merge_options(cfg, [f'key={text}'])
    assert cfg.key == value


@pytest.mark.parametrize('sign', [*' ,()[]"\'=\\\n', 'ä', '\udcff', '[a,b]', '1', 'None', 'true'])
def test_any_path_comes_through(sign):
    for path in (sign, f'runs/{sign}', f'{sign}/run', f'a{sign}b'):
        cfg = Config({'key': None})
        merge_options(cfg, [option_of('key', path)])
        assert cfg.key == path
    assert option_of('key', 'runs/a.pth') == 'key=runs/a.pth'
