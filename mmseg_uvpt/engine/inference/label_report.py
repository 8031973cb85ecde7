"""What the pseudo labels in a folder are: who made them, class frequencies, confidences."""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank
from prettytable import PrettyTable

from mmseg_uvpt.engine.inference.label_record import (
    REPORT,
    made_by_another,
    made_otherwise,
    record_in,
    recorded_classes,
)
from mmseg_uvpt.engine.work_folder.provenance import now
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import (
    objects_in_lines,
    parse_json,
    read_bytes,
    regular,
    size_and_start,
    write_json,
)

JOURNAL = 'pseudo_label_confidences.jsonl'
_CURE = 'choose another --pseudo_label_dir, or replace them with --force'


class LabelReport:
    """The report beside a folder's pseudo labels, kept over several runs that fill it.

    ``pseudo_labels.json`` says which config and checkpoint made them and, once all are there, how
    frequent each class is and how confident the model was of it. Frequencies are counted on the
    files, confidences at the size that the network saw. The latter are lost once a label is
    written, so a line a frame of a journal keeps their sums, and of which image they are:
    ``pseudo_label_confidences.jsonl``, and one with ``.rank1`` and so on before the suffix for each
    further process. `add_label` and `add_confidence` may be called by several threads.

    Args:
        folder: of the pseudo labels.
        classes: names, in the order of the label values.
        facts: what made them; model, classes and options are compared with those of labels made
            before.
        force: whether labels of another checkpoint, or of other options, may be replaced.

    Raises:
        UserError: the folder holds other labels, and ``force`` is not set.
    """

    def __init__(self, folder: str | Path, classes: Sequence[str], facts: dict, force: bool):
        self.folder = Path(folder)
        self.classes = list(classes)
        self.facts = {**facts, 'class_names': self.classes}
        self.pixels = np.zeros(len(self.classes), np.int64)
        self.images = 0
        self.sizes: Counter[str] = Counter()  # of the labels, as width x height
        self._sums: dict[str, np.ndarray] = {}  # of a frame, (2, C): pixels, their confidence
        self._images: dict[str, list] = {}  # of a frame what tells its image, noted now and then
        self._lock = threading.Lock()
        if not force:
            self._refuse_other_model()

    def _refuse_other_model(self) -> None:
        found = record_in(self.folder)
        if found is None:
            return
        if 'checkpoint' not in found or not found.keys() & {'weights_sha256', 'checkpoint_sha256'}:
            raise UserError(f'{self.folder / REPORT} names no checkpoint of its labels: {_CURE}')
        if maker := made_by_another(found, self.facts):
            raise UserError(
                f'{self.folder} holds pseudo labels of another checkpoint, {maker}: {_CURE}'
            )
        if recorded_classes(found) not in (None, self.classes):
            raise UserError(f'{self.folder} holds pseudo labels of other classes: {_CURE}')
        if how := made_otherwise(found, self.facts):
            raise UserError(f'{self.folder} holds pseudo labels made with {how}: {_CURE}')
        self._take_thresholds(found.get('thresholds'))

    def _take_thresholds(self, found: object) -> None:
        """Take up the confidences, 0..1, that an earlier run has measured for each class."""
        if found is None:
            return
        values = [*found.values()] if isinstance(found, dict) else []
        if [*(found or ())] != self.classes or not all(
            type(value) in (int, float) and 0 <= value <= 1 for value in values
        ):
            raise UserError(f'{self.folder / REPORT} names no thresholds of its classes: {_CURE}')
        self.facts['thresholds'] = found

    @property
    def thresholds(self) -> np.ndarray | None:
        """Confidence that a pixel of each class needs: (C,) float32; None before it is known."""
        found = self.facts.get('thresholds')
        return None if found is None else np.array([found[c] for c in self.classes], np.float32)

    def note_thresholds(self, thresholds: np.ndarray) -> None:
        """Put the confidence that a pixel of each class needs, (C,), into the record."""
        pairs = zip(self.classes, thresholds.tolist(), strict=True)
        self.facts['thresholds'] = dict(pairs)
        self._write_begun()

    def begin(self, anew: bool) -> None:
        """Write who makes the labels; take up what earlier runs noted unless ``anew``."""
        if not anew:
            self._refuse_other_model()  # it may have come between
        else:
            for journal in self._journals():
                journal.unlink()
        self._write_begun()
        self._take_up_all()

    def _write_begun(self) -> None:
        write_json(self.folder / REPORT, {**self.facts, 'started': now(), 'finished': None})

    def _journals(self) -> list[Path]:
        return sorted(self.folder.glob(JOURNAL.replace('.', '*.')))

    def _take_up_all(self) -> None:
        for journal in self._journals():
            for line in read_bytes(journal).splitlines():
                self._take_up(line)

    def _take_up(self, line: bytes) -> None:
        """Take up what a line says of a frame; `table` says of how many frames nothing is known."""
        try:
            entry = parse_json(line)
            if isinstance(entry['frame'], str):
                self._images.setdefault(entry['frame'], []).append(entry.get('image'))
            sums = np.array([entry['pixels'], entry['confidence']], np.float64)
            whole = sums.shape == (2, len(self.classes)) and (sums >= 0).all()
            if whole and isinstance(entry['frame'], str):
                self._sums[entry['frame']] = sums
        except (ValueError, TypeError, KeyError, OverflowError):  # the last line of a killed run
            return

    def add_label(self, label: np.ndarray) -> None:
        """Count the classes of a label file (H, W), uint8."""
        pixels = np.bincount(label.ravel(), minlength=256)[: len(self.classes)]
        with self._lock:
            self.pixels += pixels
            self.images += 1
            self.sizes[f'{label.shape[1]} x {label.shape[0]}'] += 1

    def noted_frames(self) -> set[str]:
        """Return the names of the frames that the journals of earlier runs have."""
        lines = (line for file in self._journals() for line in read_bytes(file).splitlines())
        names = (entry.get('frame') for entry in objects_in_lines(lines))
        return {name for name in names if isinstance(name, str)}

    def require_same_image(self, frame: str, image: Path) -> None:
        """Make sure that a frame's image is the one that was labelled, where that was noted.

        Raises:
            UserError: it is another.
        """
        noted = self._images.get(frame) or [None]
        if None not in noted and size_and_start(image) not in noted:
            raise UserError(
                f'{self.folder} holds pseudo labels of other images: {image} is not the one of '
                f'this name that was labelled. {_CURE.capitalize()}; of images that were meant to '
                'be replaced, deleting their labels is enough'
            )

    def add_confidence(
        self, frame: str, image: Path, label: np.ndarray, confidence: np.ndarray
    ) -> None:
        """Note how confident the model was of a frame.

        Args:
            frame: its name; noted again, it replaces what was noted before.
            image: its file.
            label: (h, w) uint8 class at the size the network saw.
            confidence: (h, w) probability of that class, 0..1.

        Raises:
            UserError: the note cannot be written.
        """
        number = len(self.classes)
        sums = np.bincount(label.ravel(), confidence.ravel(), minlength=number)
        pixels = np.bincount(label.ravel(), minlength=number)
        entry = {'frame': frame, 'pixels': pixels.tolist(), 'confidence': sums.round(3).tolist()}
        entry['image'] = size_and_start(image)
        rank = f'.rank{get_rank()}.' if get_rank() else '.'
        journal = self.folder / JOURNAL.replace('.', rank)
        try:
            with self._lock, open(journal, 'a', opener=regular) as file:
                # a killed run may have left half a line, which this one must not go on with
                file.write(f'\n{json.dumps(entry)}' if file.tell() else json.dumps(entry))
        except OSError as error:  # a failed write does not name its file
            raise UserError(
                f'cannot write {journal}: {error.strerror}; labels written so far are whole'
            ) from error

    @property
    def frequency(self) -> np.ndarray:
        """Share of each class among all pixels of the label files, 0..1."""
        return self.pixels / max(1, self.pixels.sum())

    @property
    def labelled_share(self) -> float:
        """Share of the pixels of the label files that have a class, 0..1."""
        sizes = ((map(int, size.split(' x ')), images) for size, images in self.sizes.items())
        return float(self.pixels.sum() / max(1, sum(w * h * n for (w, h), n in sizes)))

    @property
    def mean_confidence(self) -> np.ndarray:
        """Mean probability of each class where it was predicted; NaN where it never was."""
        pixels, sums = self._total()
        return np.divide(sums, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)

    def _total(self) -> np.ndarray:
        """Return the sum of all frames, (2, C)."""
        return sum(self._sums.values(), np.zeros((2, len(self.classes))))

    def end(self) -> None:
        """Write the report of a complete folder, from what all processes and runs noted."""
        self._take_up_all()  # those of the other processes too
        pixels, sums = self._total()
        per_class = {
            name: {'frequency': float(f), 'mean_confidence': None if np.isnan(c) else float(c)}
            for name, f, c in zip(self.classes, self.frequency, self.mean_confidence, strict=True)
        }
        report = {
            **self.facts,
            'finished': now(),
            'images': self.images,
            'sizes': dict(self.sizes),
            'images_with_confidence': len(self._sums),
            'mean_confidence': float(sums.sum() / pixels.sum()) if pixels.any() else None,
            'classes': per_class,
        }
        if self.facts.keys() & {'threshold', 'class_quantile'}:
            report['labelled_share'] = self.labelled_share
        write_json(self.folder / REPORT, report)

    def table(self) -> str:
        """Return class frequencies and mean confidences as text."""
        table = PrettyTable(['class', 'pixels %', 'mean confidence'], align='r')
        for name, f, c in zip(self.classes, self.frequency, self.mean_confidence, strict=True):
            table.add_row([name, f'{100 * f:.2f}', '-' if np.isnan(c) else f'{c:.3f}'])
        lines = [table.get_string(), f'{self.images} pseudo labels in {self.folder}']
        if self.facts.keys() & {'threshold', 'class_quantile'}:
            lines.append(f'{100 * self.labelled_share:.1f} % of their pixels have a label')
        if len(self._sums) < self.images:
            lines.append(f'confidences of {len(self._sums)} of them are known')
        return '\n'.join(lines)
