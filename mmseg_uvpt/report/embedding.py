"""Images as data URIs, which lie in a page itself."""

import base64

import cv2
import numpy as np

_QUALITY = 75


def shrink(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image (H, W) or (H, W, 3) at most so wide, each pixel a mean."""
    if image.shape[1] <= width:
        return image
    size = width, max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def webp(image: np.ndarray) -> str:
    """Return a photograph, uint8 (H, W, 3), B, G, R, with losses."""
    return _uri('webp', image, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])


def png(values: np.ndarray) -> str:
    """Return uint8 values (H, W) exactly."""
    return _uri('png', values, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _uri(kind: str, image: np.ndarray, how: list[int]) -> str:
    data = cv2.imencode(f'.{kind}', np.ascontiguousarray(image), how)[1]
    return f'data:image/{kind};base64,{base64.b64encode(data).decode()}'
