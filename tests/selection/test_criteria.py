"""Each criterion against a computation of its own, and what it is to tell apart."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy

from mmseg_uvpt.selection import criteria


@pytest.fixture
def probabilities():
    draw = torch.Generator().manual_seed(3)
    sizes = [(6, 8), (5, 4)]
    return [torch.randn(4, *size, generator=draw).mul(3).softmax(0) for size in sizes]


def test_confidence_and_information(probabilities):
    pixels = [p.numpy().reshape(4, -1) for p in probabilities]
    mean_entropy = np.mean([entropy(p, axis=0).mean() for p in pixels])
    assert criteria.confidence(probabilities) == pytest.approx(-mean_entropy, rel=1e-5)
    mean = np.mean([p.mean(1) for p in pixels], axis=0)
    expected = entropy(mean) - mean_entropy
    assert criteria.information(probabilities) == pytest.approx(expected, rel=1e-5)


def test_neighbourhood_density(probabilities):
    """All pixels are taken of images as small as these, in whatever order."""
    expected = []
    for p in probabilities:
        f = p.numpy().reshape(4, -1).T.astype(np.float64)
        f /= np.linalg.norm(f, axis=1, keepdims=True)
        rows = []
        for i in range(len(f)):
            others = np.delete(f, i, axis=0)
            rows.append(entropy(softmax(others @ f[i] / 0.05)))
        expected.append(np.mean(rows))
    found = criteria.neighbourhood_density(probabilities)
    assert found == pytest.approx(np.mean(expected), rel=1e-4)


def test_neighbourhoods_are_denser_where_pixels_agree(probabilities):
    one_hot = torch.nn.functional.one_hot(torch.arange(1024).view(32, 32) % 2, 2)
    clustered = [one_hot.permute(2, 0, 1).float()]
    draw = torch.Generator().manual_seed(0)
    scattered = [torch.randn(2, 32, 32, generator=draw).mul(5).softmax(0)]
    dense = criteria.neighbourhood_density(clustered)
    assert dense == pytest.approx(np.log(255), abs=0.1)  # half of those sampled, but itself
    assert dense > criteria.neighbourhood_density(scattered)


def test_values_without_chance(probabilities):
    state = torch.get_rng_state()
    large = [torch.rand(3, 64, 64).softmax(0)]
    torch.set_rng_state(state)
    first, second = (criteria.neighbourhood_density(large) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)


def test_probabilities_of_0_add_nothing():
    sure = [torch.tensor([1.0, 0.0]).view(2, 1, 1).expand(2, 4, 4)]
    assert criteria.confidence(sure) == 0
    assert criteria.information(sure) == 0


def test_agreement():
    reference = [torch.tensor([[0, 0, 1, 255]]), torch.tensor([[1, 1, 1, 1]])]
    labels = [torch.tensor([[0, 1, 1, 2]]), torch.tensor([[1, 1, 0, 1]])]
    counts = criteria.count_agreement(labels, reference, num_classes=3)
    # class 0: 1 of 3 pixels; class 1: 4 of 6; class 2 is in no reference
    assert criteria.agreement(counts) == pytest.approx(100 * (1 / 3 + 4 / 6) / 2)
    assert counts.truth.tolist() == [[2, 1, 0], [0, 4, 0]]
    nothing = [torch.full_like(x, 255) for x in reference]
    assert np.isnan(criteria.agreement(criteria.count_agreement(labels, nothing, 3)))
