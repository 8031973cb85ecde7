"""The rule against scripted runs of the published implementation."""

import warnings

import numpy as np
import pytest

from mmseg_uvpt.correction.rule import LabelCorrectionRule
from mmseg_uvpt.correction.thresholds import class_quantiles

FIXTURES = ('label_correction', 'label_correction_long_epoch')


@pytest.mark.parametrize('name', FIXTURES)
@pytest.mark.parametrize('reload_every', [0, 7], ids=['one-run', 'saved-and-loaded'])
def test_agrees_with_published_run(shared_parity, name: str, reload_every: int) -> None:
    """Labels, classes, thresholds and curve agree; also if the state goes through a state dict."""
    fixture = np.load(shared_parity / f'{name}.npz')
    classes, queue, interval, slope, quantile = (round(float(s), 6) for s in fixture['settings'])
    classes = int(classes)
    labels = fixture['initial_labels'].copy()

    def make_rule() -> LabelCorrectionRule:
        epoch = len(labels) // fixture['index'].shape[1]
        return LabelCorrectionRule(classes, epoch, int(interval), int(queue), slope)

    rule = make_rule()
    kept = {}
    for it, (indices, boxes, flips, preds, probs) in enumerate(
        zip(*(fixture[k] for k in ('index', 'crop', 'flip', 'pred', 'prob')), strict=True)
    ):
        if reload_every and it % reload_every == 0:
            state, rule = rule.state_dict(), make_rule()
            rule.load_state_dict(state)
        windows = [
            labels[i, top:bottom, left:right]
            for i, (top, bottom, left, right) in zip(indices, boxes, strict=True)
        ]
        for k, i in enumerate(indices):
            if rule.is_past_first_epoch(it) and i in kept:
                (top, bottom, left, right), pred, prob = kept[i]
                old = labels[i, top:bottom, left:right]
                new = rule.correct(old, pred, prob)
                if new is not None:
                    old[:] = new
            expected = fixture['expected_label'][it, k]
            got = windows[k][:, ::-1] if flips[k] else windows[k]
            np.testing.assert_array_equal(got, expected, f'label of image {k} in iteration {it}')
        for k, i in enumerate(indices):
            turn = -1 if flips[k] else 1
            pred, prob = preds[k][:, ::turn], probs[k][:, ::turn]
            kept[i] = boxes[k], pred, prob
            rule.observe(pred, windows[k])
        if rule.is_due(it):
            all_preds, all_probs = (np.stack([v[j] for v in kept.values()]) for j in (1, 2))
            with warnings.catch_warnings():
                warnings.simplefilter('error')  # short curves are no reason for numpy to warn
                rule.decide(it, class_quantiles(all_preds, all_probs, classes, quantile))
        np.testing.assert_array_equal(rule.correcting, fixture['classes'][it], f'iteration {it}')
        np.testing.assert_allclose(rule.thresholds, fixture['threshold'][it], rtol=1e-5)
        assert len(rule.curve) == fixture['IoU_len'][it]

    np.testing.assert_array_equal(labels, fixture['final_labels'])
    np.testing.assert_allclose(rule.curve, fixture['iou_curve'], rtol=1e-6)
    assert (labels != fixture['initial_labels']).any()
