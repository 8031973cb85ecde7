"""A second method needs no change of what Uni-UVPT stands on."""

import copy

import numpy as np
import torch
from mmseg.registry import TRANSFORMS

from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor
from mmseg_uvpt.models.segmentors.uni_uvpt import UniUVPT


class MeanTeacher(AdaptedSegmentor):
    """Pulls the student towards a teacher that saw the images before augmentation."""

    uses_features = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.teacher = copy.deepcopy(self.decode_head).requires_grad_(False)

    def loss_by_views(self, views):
        self.seen = views
        with torch.no_grad():
            maps = self.backbone(views.unaugmented)
            target = self.teacher(maps).softmax(1)
        logits = self.decode_head([stage[0] for stage in views.features])
        return {'loss_teacher': -(target * logits.log_softmax(1)).sum(1).mean()}

    def after_iteration(self):
        for own, other in zip(
            self.teacher.parameters(), self.decode_head.parameters(), strict=True
        ):
            own.lerp_(other, 0.1)


def test_a_mean_teacher_is_written_on_the_interface(build, labelled):
    model = build('mit-nano_uni-uvpt', {'type': MeanTeacher, 'view_scales': (1.0, 0.5, 2.0)})
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    before = TRANSFORMS.build({'type': 'KeepUnaugmented'})({'img': image})['unaugmented']
    samples = labelled(torch.zeros(1, 64, 64))
    samples[0].set_metainfo({'unaugmented': before, 'img_shape': (64, 64)})
    model.iteration = 7
    augmented = torch.randn(1, 3, 64, 64)
    losses = model.loss(augmented, samples)
    assert list(losses) == ['loss_teacher']
    losses['loss_teacher'].backward()
    assert model.decode_head.conv_seg.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.teacher.parameters())
    seen = model.seen
    assert seen.iteration == 7
    assert seen.images is augmented
    expected = model.data_preprocessor({'inputs': [before], 'data_samples': samples})['inputs']
    assert torch.equal(seen.unaugmented, expected)
    assert [len(stage) for stage in seen.features] == [3, 3, 3, 3]
    assert [len(stage) for stage in seen.prompts] == [3, 3, 3, 3]
    weight = next(model.teacher.parameters()).clone()
    with torch.no_grad():
        next(model.decode_head.parameters()).add_(1)
    model.after_iteration()
    torch.testing.assert_close(next(model.teacher.parameters()), weight + 0.1)
    assert any(name.startswith('teacher.') for name in model.state_dict())


def test_uni_uvpt_asks_for_no_features(build, labelled, monkeypatch):
    seen = []
    plain = UniUVPT.loss_by_views
    monkeypatch.setattr(
        UniUVPT, 'loss_by_views', lambda self, views: seen.append(views) or plain(self, views)
    )
    build('mit-nano_uni-uvpt').loss(torch.randn(1, 3, 32, 32), labelled(torch.zeros(1, 32, 32)))
    assert seen[0].features == []
    assert seen[0].unaugmented is None
