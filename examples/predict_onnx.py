"""Predict photographs with an exported model: onnxruntime and OpenCV, nothing else.

    python examples/predict_onnx.py model.onnx photo.jpg ...

writes photo_classes.png, a class id a pixel, and photo_seen.png, the classes in colours.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
about = session.get_modelmeta().custom_metadata_map
resize, fixed_size = json.loads(about['resize']), json.loads(about['fixed_size'])
classes, palette = json.loads(about['classes']), np.array(json.loads(about['palette']), np.uint8)


def network_size(height: int, width: int) -> tuple[int, int]:
    """Return the height and width that an image is resized to."""
    if fixed_size:
        return tuple(fixed_size)
    long, short = max(resize['scale']), min(resize['scale'])
    if not resize['keep_ratio']:
        return resize['scale'][1], resize['scale'][0]
    factor = min(long / max(height, width), short / min(height, width))
    return int(height * factor + 0.5), int(width * factor + 0.5)


def resized(channel: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return logits (h, w) of a class at another size."""
    if 'corners aligned: true' not in about['resize_of_logits']:
        return cv2.resize(channel, (width, height))
    rows, columns = (
        (n - 1) / max(1, m - 1) for n, m in zip(channel.shape, (height, width), strict=True)
    )
    onto = np.array([[columns, 0, 0], [0, rows, 0]])  # where each pixel comes from
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(channel, onto, (width, height), flags=flags)


for name in sys.argv[2:]:
    image = cv2.imread(name)  # blue, green, red
    if image is None:
        sys.exit(f'{name} cannot be read as an image')
    height, width = network_size(*image.shape[:2])
    seen = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    batch = np.ascontiguousarray(seen[None, :, :, ::-1].transpose(0, 3, 1, 2))
    (logits,) = session.run(['logits'], {'images': batch})
    # logits are resized, not labels; OpenCV resizes one channel after the other
    at_full_size = [resized(x, *image.shape[:2]) for x in logits[0]]
    label = np.argmax(at_full_size, axis=0).astype(np.uint8)
    share = np.bincount(label.ravel(), minlength=len(classes)) / label.size
    stem = Path(name).with_suffix('')
    cv2.imwrite(f'{stem}_classes.png', label)
    cv2.imwrite(f'{stem}_seen.png', image // 2 + palette[label][..., ::-1] // 2)
    print(name, {classes[i]: f'{share[i]:.1%}' for i in np.argsort(-share)[:5] if share[i]})
