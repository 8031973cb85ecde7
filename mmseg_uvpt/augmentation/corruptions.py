"""Snow, frost and cartoon, by the optional package imaug."""

from functools import lru_cache

import numpy as np

from mmseg_uvpt.errors import UserError

SEVERITIES = (1, 2)  # of snow and frost, of the five that the package knows


@lru_cache
def require():
    """Return imaug's augmenters.

    Raises:
        UserError: it is not installed.
    """
    try:
        from imgaug import augmenters
    except ImportError as error:
        raise UserError(
            'snow, frost and cartoon need the package imaug: pip install --no-deps imaug '
            'imagecorruptions-imaug && pip install scikit-image imageio shapely numba six. '
            'To go on without it, leave them out of `augmentations` in the config.'
        ) from error
    return augmenters


def corrupt(name: str, image: np.ndarray, seed: int, severity: int) -> np.ndarray:
    """Corrupt an image.

    Args:
        name: ``'snow'``, ``'frost'`` or ``'cartoon'``.
        image: (H, W, 3) uint8, RGB.
        seed: the same seed gives the same result.
        severity: 1 to 5, of snow and frost.

    Returns:
        numpy.ndarray: of the same shape and type.

    Raises:
        UserError: imaug is not installed.
    """
    augmenters = require()
    if name == 'cartoon':
        augmenter = augmenters.Cartoon(seed=seed)
    else:
        kind = {'snow': augmenters.imgcorruptlike.Snow, 'frost': augmenters.imgcorruptlike.Frost}
        augmenter = kind[name](severity=severity, seed=seed)
    return augmenter.augment_image(np.ascontiguousarray(image))
