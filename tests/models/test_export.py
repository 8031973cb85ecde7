"""Models of each family, source and adapted, exported once for images of all sizes."""

from functools import partial

import pytest
from backbone_configs import BY_NAME
from small_models import PROMPTS, make

from mmseg_uvpt.deployment import formats
from mmseg_uvpt.deployment.comparison_with_eager import differences, require_same, sizes_to_compare
from mmseg_uvpt.deployment.exported_network import ExportedNetwork, eager_logits

OPEN = ('swin', 'mit', 'convnext', 'vit', 'dinov2')
FIXED = tuple(each.id for each in BY_NAME if each.id not in OPEN)
CONFIGS = {each.id: each.values[0] for each in BY_NAME}


def compare(program, segmentor, sizes_of) -> None:
    """Compare both formats with the model, ONNX below the sizes that tracing takes for granted."""
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    eager, smallest = partial(eager_logits, segmentor), formats.smallest_size(program)
    run = formats.run_pt2(formats.pt2_bytes(program, {}))
    require_same(differences(eager, run, sizes_of(smallest)))
    run = formats.run_onnx(formats.onnx_bytes(program, {}))
    require_same(differences(eager, run, sizes_of((64, 64))))


@pytest.mark.slow
@pytest.mark.parametrize('tuner', [None, PROMPTS], ids=['source', 'adapted'])
@pytest.mark.parametrize('name', OPEN)
def test_height_and_width_are_open(name, tuner):
    segmentor = make(CONFIGS[name], tuner).eval()
    program = formats.exported_program(ExportedNetwork(segmentor).eval())
    compare(program, segmentor, partial(sizes_to_compare, (250, 311)))


@pytest.mark.slow
@pytest.mark.parametrize('tuner', [None, PROMPTS], ids=['source', 'adapted'])
@pytest.mark.parametrize('name', FIXED)
def test_a_fixed_size(name, tuner):
    size = (97, 130)
    segmentor = make(CONFIGS[name], tuner).eval()
    program = formats.exported_program(ExportedNetwork(segmentor).eval(), size)
    compare(program, segmentor, lambda smallest: [size] * 2)
