"""What a label correction gained, as its table against the truth has it."""

import pytest

from mmseg_uvpt.report.correction_gain import against_truth, correction_sentence
from mmseg_uvpt.report.run_folder import RunFolder


def test_first_and_last_state_are_compared(tmp_path):
    assert against_truth(RunFolder(tmp_path, 'run')) == {}
    assert correction_sentence({}) == ''
    (tmp_path / 'label_correction_truth.csv').write_text(
        'iterations,class,event,iou,mended,spoilt,still_wrong\n'
        '0,road,begin,0.5,0,0,0\n0,sky,begin,0.3,0,0,0\n0,car,begin,,0,0,0\n'
        '30,road,,0.52,9,1,0\n30,sky,,0.2,1,12,0\n30,car,,,0,0,0\n'
    )
    found = against_truth(RunFolder(tmp_path, 'run'))
    assert found == {
        **{'iterations': [0, 30], 'labels_miou': [pytest.approx(40), pytest.approx(36)]},
        **{'mended': [0, 10], 'spoilt': [0, 13]},
        'classes': {
            'road': {'iou': [0.5, 0.52], 'mended': [0, 9], 'spoilt': [0, 1], 'still_wrong': [0, 0]},
            'sky': {'iou': [0.3, 0.2], 'mended': [0, 1], 'spoilt': [0, 12], 'still_wrong': [0, 0]},
        },
    }
    said = correction_sentence(found)
    assert '40.0 -> 36.0 mIoU, 10 pixels mended and 13 spoilt: it spoils more' in said
    assert 'spoils' not in correction_sentence({**found, 'mended': [0, 13]})
