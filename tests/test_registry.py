"""Which class a config names: by its name, as itself, or none."""

import pytest
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmseg.registry import HOOKS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.offline import OfflineLabelCorrectionHook
from mmseg_uvpt.engine.config.training_labels import label_corrections
from mmseg_uvpt.registry import class_of, is_a


@pytest.mark.parametrize(
    ('described', 'expected'),
    [
        ({'type': 'OfflineLabelCorrectionHook'}, OfflineLabelCorrectionHook),
        ({'type': OfflineLabelCorrectionHook}, OfflineLabelCorrectionHook),
        ({'type': 'NoSuchHook'}, None),
        ({'type': print}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_is_built_from_a_config(described, expected):
    assert class_of(HOOKS, described) is expected
    assert is_a(HOOKS, described, LabelCorrectionHook) is (expected is not None)


def test_hooks_may_be_classes_and_not_only_their_names():
    """As mmengine takes them; a training asks each hook whether it corrects labels."""
    correction = {'type': OfflineLabelCorrectionHook, 'record': 'online'}
    cfg = Config({'default_hooks': {'a': None, 'b': correction}, 'custom_hooks': []})
    cfg.custom_hooks = [{'type': EMAHook}]
    assert [dict(hook) for hook in label_corrections(cfg)] == [correction]
