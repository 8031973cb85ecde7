"""What candidates are judged by: views of target images, and agreement with all candidates."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn.functional import interpolate

from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.inference.judging import Judge
from mmseg_uvpt.engine.inference.target_images import TargetImages
from mmseg_uvpt.selection.candidate_files import CandidateFiles
from mmseg_uvpt.selection.committee import Candidate

CLASSES, SIZE = 4, (6, 10)


@pytest.fixture
def images():
    """One image, as `TargetImages` holds it."""
    found = TargetImages.__new__(TargetImages)
    draw = torch.Generator().manual_seed(0)
    found._images = [torch.randint(256, (3, 40, 72), generator=draw).to(torch.uint8)]
    found._samples = [SegDataSample(metainfo={'img_path': 'a.png'})]
    found.paths = ['a.png']
    return found


def test_probabilities_are_the_mean_over_scales_and_flips(build, images):
    model = build('swin-nano_source').eval()
    nn.init.normal_(model.decode_head.conv_seg.weight, std=3)
    image, expected = images._images[0], []
    for scale in (0.75, 1.0, 1.25):
        sides = [round(side * scale) for side in image.shape[1:]]
        view = interpolate(image[None].float(), sides, mode='bilinear').round().to(torch.uint8)[0]
        for flipped in (view, view.flip(2)):
            batch = {'inputs': [flipped], 'data_samples': [SegDataSample()]}
            given = model.data_preprocessor(batch, False)['inputs']
            with torch.no_grad():
                logits = interpolate(model(given, mode='tensor'), sides, mode='bilinear')
            seen = interpolate(logits, (10, 18), mode='bilinear').softmax(1)[0]
            expected.append(seen if flipped is view else seen.flip(2))
    (label, probabilities), *more = images.predict(model, augmented=True)
    assert not more
    mean = torch.stack(expected).mean(0)
    torch.testing.assert_close(probabilities, mean, rtol=1e-3, atol=1e-4)
    assert (label.long() == mean.argmax(0)).float().mean() > 0.99
    assert not torch.allclose(mean, expected[2], atol=1e-3)  # of the image as it is


class _Seen:
    """In the place of images: what each model says of two of them, by its number."""

    paths = ('a', 'b')

    def __init__(self):
        draw = torch.Generator().manual_seed(0)
        self.said = (3 * torch.randn(3, 2, CLASSES, *SIZE, generator=draw)).softmax(2)

    def predict(self, model, augmented=False):
        for probabilities in self.said[model.number]:
            yield probabilities.argmax(0).to(torch.uint8), probabilities


def mean_iou(one, other) -> float:
    """Return the mean IoU in percent of two labellings, over the classes of the second."""
    pairs = [(one == c, other == c) for c in range(CLASSES)]
    return 100 * np.mean([float((a & b).sum() / (a | b).sum()) for a, b in pairs if b.any()])


def test_each_candidate_is_compared_with_all_so_far(tmp_path):
    seen, files, candidates = _Seen(), CandidateFiles(tmp_path), []
    files.begin()
    judge = Judge(seen, files, CLASSES)
    for number in range(3):
        model = nn.Identity()
        model.number, model.backbone, model.decode_head = number, nn.Identity(), nn.Identity()
        model.with_neck = False
        candidates.append(Candidate(100 * number))
        labels = judge.judge(model, candidates)
        files.save(100 * number, {}, labels)
        ensemble = seen.said[: number + 1].sum(0).argmax(1)
        for each, said in zip(candidates, seen.said, strict=False):
            expected = mean_iou(said.argmax(1), ensemble)
            assert each.criteria['ensemble'] == pytest.approx(expected, abs=1e-5)
    source = seen.said[0].argmax(1)
    for each, said in zip(candidates, seen.said, strict=True):
        expected = mean_iou(said.argmax(1), source)
        assert each.criteria['agreement_source'] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('kind', ['RepeatDataset', 'ConcatDataset'])
def test_images_of_a_wrapped_training_set_are_its_own(kind, adaptation_config, data_root, tmp_path):
    root = str(data_root)
    cfg = resolve(Namespace(config=str(adaptation_config), data_root=root, cfg_options=[]))
    own = tmp_path / 'own'
    (data_root / 'cityscapes').rename(own)
    inner = {**cfg.train_dataloader.dataset, 'data_root': str(own)}
    more = {'times': 3, 'dataset': inner} if kind == 'RepeatDataset' else {'datasets': [inner]}
    cfg.train_dataloader.dataset = {'type': kind, **more}
    images = TargetImages(cfg, 2)
    assert all(Path(path).is_relative_to(own) for path in images.paths)
    assert len(set(images.paths)) == 2
