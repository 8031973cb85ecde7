"""Which class a config names: by its name, as itself, or none."""

import subprocess
import sys

import pytest
from mmcv.transforms import Resize
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmseg.registry import HOOKS, TRANSFORMS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.correction.offline import OfflineLabelCorrectionHook
from mmseg_uvpt.engine.config.recorded import as_written
from mmseg_uvpt.engine.config.training_labels import label_corrections
from mmseg_uvpt.registry import class_of, is_a, name_of


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


def test_a_name_of_ours_is_known_before_anything_was_imported():
    """As where the leaderboard asks what a config corrects labels by: first of all."""
    asked = """
from mmengine.config import Config
from mmseg_uvpt.engine.config.training_labels import label_corrections
hook = {'type': 'OfflineLabelCorrectionHook'}
print(*(found['type'] for found in label_corrections(Config({'default_hooks': {'a': hook}}))))
"""
    found = subprocess.run(
        [sys.executable, '-c', asked], capture_output=True, text=True, check=True
    )
    assert found.stdout == 'OfflineLabelCorrectionHook\n'


def test_a_class_is_called_by_its_name_unless_another_one_is(tmp_path):
    """Recorded configs hold no classes: nobody could read them without an import."""
    assert name_of(EMAHook) == 'EMAHook'
    assert name_of(Resize) == 'mmcv.transforms.processing.Resize'  # mmseg has one of its own
    assert TRANSFORMS.get(name_of(Resize)) is Resize
    written = {'custom_hooks': [{'type': EMAHook}], 'model': {'type': 'A', 'b': {'type': Resize}}}
    cfg = Config(written)
    cfg._cfg_dict.Resize = Resize  # as mmengine keeps what a config imports
    as_written(cfg)
    assert 'Resize' not in cfg
    assert cfg.custom_hooks[0].type == 'EMAHook'
    assert cfg.model.b.type == name_of(Resize)
