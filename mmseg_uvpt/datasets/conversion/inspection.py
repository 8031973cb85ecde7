"""A look at a data set before anyone waits for a training run."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmseg_uvpt.datasets.conversion.class_statistics import count_classes
from mmseg_uvpt.datasets.files.data_error import DataError
from mmseg_uvpt.datasets.files.image_files import SUFFIXES, check_whole_image
from mmseg_uvpt.datasets.label_encodings import CLASSES, read_train_ids
from mmseg_uvpt.datasets.layouts import Layout
from mmseg_uvpt.datasets.parallel import run_each
from mmseg_uvpt.progress import progress

Size = tuple[int, int]


@dataclass(frozen=True)
class _Frame:
    layout: Layout
    image: Path | None
    raw: Path | None
    train_ids: Path
    num_classes: int


@dataclass
class _Findings:
    image_size: Size | None = None
    label_size: Size | None = None
    counts: dict[int, int] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)  # (kind, which file and what)


@dataclass
class SplitReport:
    """What is in one split.

    Attributes:
        split: its folder, empty for a data set without splits.
        images, labels, pairs, converted: numbers of files; a pair is an image with a raw label.
        image_sizes, label_sizes: how many have each (height, width).
        pixels: number of pixels of each train id over the converted labels.
        frames_with: number of converted labels in which each train id occurs.
        ignored: number of pixels of no train id (255).
        left_out: a sentence on images that the data set does not have, by their names.
        classes: names, in the order of their ids.
        problems: per kind of problem, what was found.
    """

    split: str
    images: int = 0
    labels: int = 0
    pairs: int = 0
    converted: int = 0
    image_sizes: Counter = field(default_factory=Counter)
    label_sizes: Counter = field(default_factory=Counter)
    pixels: Counter = field(default_factory=Counter)
    frames_with: Counter = field(default_factory=Counter)
    ignored: int = 0
    left_out: str = ''
    classes: Sequence[str] = CLASSES
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


def inspect(
    layout: Layout, root: Path, nproc: int, classes: Sequence[str] = CLASSES
) -> Iterator[SplitReport]:
    """Read every file of a data set, and yield a report a split.

    A split without any label is in order where labels are not needed (the target's train
    split).

    Args:
        layout: which data set.
        root: its root.
        nproc: number of processes.
        classes: names of the classes. If they are not those of Cityscapes, raw labels are not
            looked at: those that are trained on were made by others.
    """
    own = tuple(classes) != CLASSES
    for split in layout.splits_in(root):
        images, left_out = layout.image_frames(root, split)
        labels = {} if own else layout.raw_labels(root, split)
        frames = [
            _Frame(
                *(layout, images.get(f), labels.get(f), layout.train_ids(root, split, f)),
                len(classes),
            )
            for f in sorted(images.keys() | labels.keys())
        ]
        report = SplitReport(split, len(images), len(labels), len(images.keys() & labels.keys()))
        report.left_out = left_out
        report.classes = classes
        if not images:
            report.problems['no image'].append(
                f'{root / layout.folder(layout.images, split)} holds no '
                f'*{layout.image_suffix}, nor any other image ({", ".join(SUFFIXES)})'
            )
        needed = layout.labels_needed or split in layout.splits[1:]
        has_none = not labels and not any(frame.train_ids.is_file() for frame in frames)
        unlabelled = has_none and not needed
        findings = run_each(_inspect, frames, nproc, _killed)
        title = f'{layout.title} {split}'.strip()
        with closing(findings):
            for found in progress(findings, title, 'frame', len(frames)):
                _add(report, found, without='image without label' if unlabelled else '')
        yield report


def _add(report: SplitReport, found: _Findings, without: str) -> None:
    if found.image_size:
        report.image_sizes[found.image_size] += 1
    if found.label_size:
        report.label_sizes[found.label_size] += 1
        report.converted += 1
        report.pixels.update(found.counts)
        report.frames_with.update(found.counts.keys())
        report.ignored += found.label_size[0] * found.label_size[1] - sum(found.counts.values())
    for kind, what in found.problems:
        if kind != without:
            report.problems[kind].append(what)


def _inspect(frame: _Frame) -> _Findings:
    found = _Findings()
    if frame.image is None:
        found.problems.append(('label without image', str(frame.raw)))
    else:
        try:
            found.image_size = check_whole_image(frame.image)
        except DataError as error:
            found.problems.append(('unreadable image', str(error)))
    if frame.raw is None and not frame.train_ids.is_file():
        found.problems.append(('image without label', str(frame.image)))
        return found
    expected = converted = None
    try:
        if frame.raw is not None:
            expected = frame.layout.read(frame.raw)
    except DataError as error:
        found.problems.append(('unreadable raw label', str(error)))
    try:
        if frame.train_ids.is_file():
            converted = read_train_ids(frame.train_ids, frame.num_classes)
        else:
            found.problems.append(('label not converted', str(frame.raw)))
    except DataError as error:
        found.problems.append(('unusable converted label', str(error)))
    label = converted if converted is not None else expected
    if label is not None and found.image_size not in (None, label.shape):
        sizes = f'image {_text(found.image_size)}, label {_text(label.shape)}'
        found.problems.append(('image and label of different size', f'{frame.image}: {sizes}'))
    if converted is not None:
        found.label_size = converted.shape
        found.counts = count_classes(converted, frame.num_classes)
        if expected is not None and not np.array_equal(expected, converted):
            found.problems.append(
                ('converted label that its raw label does not give', str(frame.train_ids))
            )
    return found


def _killed(frame: _Frame) -> _Findings:
    found = _Findings()
    found.problems.append(('frame that kills the process reading it', str(frame.image)))
    return found


def _text(size: Size) -> str:
    return f'{size[1]} x {size[0]}'
