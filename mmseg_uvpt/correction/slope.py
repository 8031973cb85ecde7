"""How much the slope of a class's curve has changed since its beginning."""

import numpy as np

DEGREE = 3
STEP = 1e-6  # the derivatives are taken this far right of the points


def relative_slope_changes(values: np.ndarray) -> np.ndarray:
    """Return by what share the slope of a curve differs, at each point, from that at its beginning.

    A cubic f is fitted to the values at x = 1..t; with fewer than four points the fit of
    minimum norm is taken.

    Args:
        values: (t,) IoU values in 0..1 without gaps, oldest first.

    Returns:
        (t,) ``||f'(x)| - |f'(1)|| / |f'(1)|``, NaN where that says nothing: a slope at the
        beginning that is 0 or not finite.
    """
    if len(values) == 0:
        return np.zeros(0)
    x = np.arange(1, len(values) + 1)
    # full=True is the documented way to have no RankWarning for short curves
    coefficients = np.polyfit(x, values, DEGREE, full=True)[0]
    slopes = np.abs(np.polyval(np.polyder(coefficients), x + STEP))
    if slopes[0] == 0 or not np.isfinite(slopes[0]):
        return np.full(len(values), np.nan)
    return np.abs(slopes - slopes[0]) / slopes[0]


def relative_slope_change(values: np.ndarray) -> float:
    """Return the last of `relative_slope_changes`; NaN without points.

    Labels of a class are worth correcting once its IoU against them has nearly stopped moving:
    then the result is close to, but still below, 1 (docs/method.md).
    """
    changes = relative_slope_changes(values)
    return float(changes[-1]) if len(changes) else float('nan')
