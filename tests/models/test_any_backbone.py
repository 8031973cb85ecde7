"""What an adaptation promises whatever its frozen backbone is."""

import copy

import pytest
import torch
from backbone_configs import BY_NAME, PLAIN
from small_models import SIZE, assert_same_step, make, step

from mmseg_uvpt.acceleration.accelerate import accelerate
from mmseg_uvpt.checkpoints.loading import load_file, load_source_model
from mmseg_uvpt.checkpoints.reading import write_file


@pytest.fixture(scope='module', params=BY_NAME)
def staged(request) -> dict:
    """The config of a staged backbone."""
    return request.param


@pytest.fixture(scope='module')
def batch(labelled):
    torch.manual_seed(1)
    return torch.randn(2, 3, *SIZE), labelled(torch.randint(0, 19, (2, *SIZE)))


@pytest.fixture(scope='module')
def made(staged):
    """An adapted model; not to be changed."""
    return make(staged)


@pytest.fixture
def model(made):
    """An adapted model of the test's own."""
    return copy.deepcopy(made)


@pytest.fixture(scope='module')
def stepped(made, batch):
    """The loss and the gradients of a step of it."""
    return step(copy.deepcopy(made), batch)


def test_frozen_is_frozen(model, batch):
    """No parameter and no buffer of the backbone changes; all of the rest is tuned."""
    before = copy.deepcopy(model.backbone.staged.state_dict())
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values())
    _, gradients = step(model, batch)
    optimizer.step()
    for name, tensor in model.backbone.staged.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert gradients.keys() == trained.keys()
    assert not [name for name in trained if name.startswith('backbone.staged.')]
    assert model.decode_head.fuse_layer.bottleneck.bn.num_batches_tracked > 0  # the head's are its


def test_where_all_is_tuned_norms_follow(model, batch):
    model.backbone.staged.requires_grad_(True)
    model.train()
    norms = [m for m in model.backbone.staged.modules() if hasattr(m, 'num_batches_tracked')]
    step(model, batch)
    assert all(norm.num_batches_tracked > 0 for norm in norms)


def test_a_source_model_is_taken_whole(staged, model, tmp_path):
    source = make(staged, tuner=None)
    torch.save({'state_dict': source.state_dict()}, tmp_path / 'source.pth')
    torch.nn.init.zeros_(model.decode_head.conv_seg.weight)
    load_source_model(model, tmp_path / 'source.pth')
    for name, tensor in source.state_dict().items():
        ours = name.replace('backbone.', 'backbone.staged.', 1)
        assert torch.equal(model.state_dict()[ours], tensor), name


def test_a_checkpoint_gives_the_same_predictions(made, model, tmp_path):
    model.eval()
    write_file({'state_dict': model.state_dict()}, tmp_path / 'adapted.pth')
    torch.manual_seed(3)
    image = torch.randn(1, 3, 67, 93)
    expected = model(image, mode='tensor')
    other = copy.deepcopy(made).eval()
    for parameter in other.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    assert not torch.equal(other(image, mode='tensor'), expected)
    other.load_state_dict(load_file(tmp_path / 'adapted.pth')['state_dict'])
    assert torch.equal(other(image, mode='tensor'), expected)


def test_accelerated_it_has_the_same_numbers(made, model, batch):
    fast = copy.deepcopy(made)
    accelerate(fast)
    assert_same_step(model, fast, batch)


def test_in_half_precision_it_stays_close(model, stepped, batch):
    accelerate(model, amp=True)
    (loss, _), (found, gradients) = stepped, step(model, batch)
    torch.testing.assert_close(found, loss, rtol=2e-2, atol=1e-2)
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@pytest.mark.parametrize('patch', [14, 16])
def test_a_padded_image_is_cut_to_what_it_shows(patch):
    model = make(dict(PLAIN, model='vit_tiny_patch16_224', patch_size=patch, img_size=2 * patch))
    image = torch.randn(1, 3, 6 * patch - 9, 6 * patch)
    size = image.shape[2:]
    cells = [[-(-4 * side // (n * patch)) for side in size] for n in (1, 2, 4, 8)]
    assert [list(x.shape[2:]) for x in model.extract_feat(image)] == cells
    whole = torch.nn.functional.pad(image, (0, 0, 0, 9))
    model.eval()
    for cut, x in zip(model.extract_feat(image), model.extract_feat(whole), strict=True):
        torch.testing.assert_close(cut, x[..., : cut.shape[2], :])


def test_a_seed_gives_one_model(staged, stepped, batch):
    (loss, _), (same, _) = stepped, step(make(staged), batch)
    assert torch.equal(loss, same)


@pytest.mark.slow
def test_it_compiles_without_a_break(model, batch):
    backbone = model.backbone.eval()
    compiled = torch.compile(backbone, backend='eager', fullgraph=True)
    with torch.no_grad():
        for expected, found in zip(backbone(batch[0]), compiled(batch[0]), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    torch._dynamo.reset()
