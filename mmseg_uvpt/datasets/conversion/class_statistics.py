"""How many pixels of each class each training label has: what rare-class sampling needs.

Two files at the data set's root, with paths relative to it, in the form that DAFormer's sampler
reads: ``sample_class_stats.json`` is a list of ``{class: pixels, ..., 'file': path}``, and
``samples_with_class.json`` maps each class that occurs to ``[[path, pixels], ...]``.
"""

from pathlib import Path

import numpy as np

from mmseg_uvpt.datasets.label_encodings import CLASSES
from mmseg_uvpt.files import read_json, write_json

PER_FILE = 'sample_class_stats.json'
PER_CLASS = 'samples_with_class.json'


def count_classes(label: np.ndarray, num_classes: int = len(CLASSES)) -> dict[int, int]:
    """Return the number of pixels of each class that occurs in a uint8 (H, W) label."""
    counts = np.bincount(label.ravel(), minlength=256)[:num_classes].tolist()
    return {train_id: n for train_id, n in enumerate(counts) if n}


def write_statistics(root: Path, counts: dict[str, dict[int, int]]) -> None:
    """Write both files.

    Args:
        root: the data set's root.
        counts: per label file, relative to the root, what `count_classes` gives.
    """
    per_class: dict[int, list] = {}
    for file in sorted(counts):
        for train_id, pixels in counts[file].items():
            per_class.setdefault(train_id, []).append([file, pixels])
    write_json(root / PER_CLASS, {c: per_class[c] for c in sorted(per_class)})
    write_json(root / PER_FILE, [{**counts[file], 'file': file} for file in sorted(counts)])


def known_counts(root: Path) -> dict[str, dict[int, int]]:
    """Return the counts of an earlier run for the labels that have not been written since.

    A file of statistics that is absent or not in this form gives none; they are counted again.
    """
    path = root / PER_FILE
    try:
        written = path.stat().st_mtime_ns
        entries = read_json(path)
        return {
            entry['file']: {int(c): int(n) for c, n in entry.items() if c != 'file'}
            for entry in entries
            if (root / entry['file']).stat().st_mtime_ns <= written
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}
