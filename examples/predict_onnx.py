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
is_aligned = 'corners aligned: true' in about['resize_of_logits']
flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP

for name in sys.argv[2:]:
    image = cv2.imread(name)  # blue, green, red
    if image is None:
        sys.exit(f'{name} cannot be read as an image')
    height, width = image.shape[:2]
    factor = np.divide(sorted(resize['scale']), sorted((height, width))).min()
    kept = [int(side * factor + 0.5) for side in (height, width)]
    seen_size = fixed_size or (kept if resize['keep_ratio'] else resize['scale'][::-1])
    seen = cv2.resize(image, seen_size[::-1])
    batch = np.ascontiguousarray(seen[None, :, :, ::-1].transpose(0, 3, 1, 2))
    (logits,) = session.run(['logits'], {'images': batch})
    # logits are resized, not labels; OpenCV resizes one channel after the other
    if is_aligned:
        rows, columns = (np.array(logits.shape[2:]) - 1) / np.maximum((height - 1, width - 1), 1)
        onto = np.array([[columns, 0, 0], [0, rows, 0]])  # where each pixel comes from
        at_full_size = [cv2.warpAffine(x, onto, (width, height), flags=flags) for x in logits[0]]
    else:
        at_full_size = [cv2.resize(x, (width, height)) for x in logits[0]]
    label = np.argmax(at_full_size, axis=0).astype(np.uint8)
    share = np.bincount(label.ravel(), minlength=len(classes)) / label.size
    stem = Path(name).with_suffix('')
    cv2.imwrite(f'{stem}_classes.png', label)
    cv2.imwrite(f'{stem}_seen.png', image // 2 + palette[label][..., ::-1] // 2)
    print(name, {classes[i]: f'{share[i]:.1%}' for i in np.argsort(-share)[:5] if share[i]})
