"""What an exported file says of itself: names and texts, those that are no words as JSON."""

import json
from collections.abc import Mapping, Sequence

import mmseg_uvpt
from mmseg_uvpt.deployment.exported_network import ExportedNetwork

INPUT_TEXT = 'uint8 (B, 3, H, W), red, green, blue; mean and std are applied inside'
OUTPUT_TEXT = (
    'float32 (B, classes, H, W), logits; the label of a pixel is the largest one. Divide them by '
    'temperature before a softmax'
)
RESIZE_TEXT = 'bilinear, corners aligned: {}; logits, not labels, are resized to another size'


def metadata_of(
    network: ExportedNetwork,
    meta: Mapping[str, Sequence],
    resize: Mapping[str, object],
    fixed_size: tuple[int, int] | None,
    temperature: float,
    made_of: Mapping[str, str],
) -> dict[str, str]:
    """Return the metadata of a file.

    Args:
        network: what is exported.
        meta: ``classes``, names in the order of the logits, and ``palette``, [red, green, blue].
        resize: how images are resized before: ``scale`` [width, height] and ``keep_ratio``, whether
            the larger side of an image is to fit into the larger one of the scale, and the
            smaller into the smaller.
        fixed_size: height and width; None for open ones.
        temperature: that the model's confidences are taken with.
        made_of: ``config``, ``checkpoint`` and what else says where the file comes from.
    """
    return {
        'input': INPUT_TEXT,
        'output': OUTPUT_TEXT,
        'resize_of_logits': RESIZE_TEXT.format(str(network.segmentor.align_corners).lower()),
        'temperature': json.dumps(temperature),
        'classes': json.dumps(list(meta['classes'])),
        'palette': json.dumps([list(map(int, colour)) for colour in meta['palette']]),
        'mean': json.dumps(network.in_rgb(network.mean)),
        'std': json.dumps(network.in_rgb(network.std)),
        'resize': json.dumps(dict(resize)),
        'fixed_size': json.dumps(fixed_size),
        'precision': 'float32',
        'producer': f'mmseg_uvpt {mmseg_uvpt.__version__}',
        **made_of,
    }
