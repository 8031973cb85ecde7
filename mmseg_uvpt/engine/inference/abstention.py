"""Leaving pixels without a class where a model is not sure, and counting what is left."""

from collections.abc import Iterable, Iterator

import numpy as np

from mmseg_uvpt.engine.inference.result import UNSURE, Result


class Abstention:
    """Takes the classes from pixels below a confidence, in the results of images and videos.

    Args:
        threshold: least confidence of a class that is kept, 0..1; None keeps all.
    """

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold
        self._counts: dict[str, np.ndarray] = {}  # pixels that are left, and all

    def apply(self, results: Iterable[Result], names: Iterable[str]) -> Iterator[Result]:
        """Yield each result, those of one name counted together (the frames of a video).

        Args:
            results: of images.
            names: of each.
        """
        for result, name in zip(results, names, strict=False):  # a video does not know how many
            if self.threshold is not None:
                result = result.abstained(self.threshold)
                counts = (result.classes != UNSURE).sum(), result.classes.size
                self._counts[name] = self._counts.get(name, 0) + np.array(counts)
            yield result

    @property
    def kept(self) -> float | None:
        """Share of all pixels that have a class, 0..1; None where all were to keep theirs."""
        return _share(sum(self._counts.values())) if self._counts else None

    def facts(self) -> dict:
        """Return the threshold and the shares, overall and by name, for the record of a folder."""
        if self.threshold is None:
            return {}
        of_each = {name: _share(counts) for name, counts in self._counts.items()}
        return {'abstain': self.threshold, 'kept': self.kept, 'kept_of_each': of_each}


def _share(counts: np.ndarray) -> float:
    return float(counts[0] / counts[1])
