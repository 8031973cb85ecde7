"""How much the slope of a class's curve has changed since it was last corrected."""

import numpy as np

DEGREE = 3
STEP = 1e-6  # the derivatives are taken this far right of the points


def relative_slope_change(values: np.ndarray) -> float:
    """Return by what share the slope at the end of a curve differs from that at its beginning.

    A cubic f is fitted to the values at x = 1..t; with fewer than four points the fit of
    minimum norm is taken. Labels of a class are worth correcting once its IoU against them has
    nearly stopped moving: then the result is close to, but still below, 1 (docs/method.md).

    Args:
        values: (t,) IoU values in 0..1 without gaps, oldest first.

    Returns:
        ``||f'(t)| - |f'(1)|| / |f'(1)|``, or NaN where that says nothing: no points, or a slope
        at the beginning that is 0 or not finite.
    """
    if len(values) == 0:
        return float('nan')
    x = np.arange(1, len(values) + 1)
    # full=True is the documented way to have no RankWarning for short curves
    coefficients = np.polyfit(x, values, DEGREE, full=True)[0]
    slope = np.polyder(coefficients)
    first = abs(np.polyval(slope, 1 + STEP))
    last = abs(np.polyval(slope, len(values) + STEP))
    if first == 0 or not np.isfinite(first):
        return float('nan')
    return float(abs(last - first) / first)
