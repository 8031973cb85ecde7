"""Takes the criteria of a training's candidates on a few target images."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_uvpt.engine.inference.renewed_statistics import renewed_statistics
from mmseg_uvpt.engine.inference.target_images import SCALES, TargetImages
from mmseg_uvpt.evaluation.bootstrap import ImageCounts
from mmseg_uvpt.models.segmentors.source import norms_of_source
from mmseg_uvpt.progress import progress
from mmseg_uvpt.selection import criteria
from mmseg_uvpt.selection.candidate_files import CandidateFiles
from mmseg_uvpt.selection.committee import GUARDS, Candidate

Labels = Sequence[Tensor]  # of each image (h, w), uint8


class Evidence(NamedTuple):
    """What `committee.choose_guarded` needs to know of all candidates.

    Attributes:
        pixels: of each candidate those predicted as each class, (C,).
        guards: by the name of a reference its agreement with each candidate.
    """

    pixels: list[np.ndarray]
    guards: dict[str, list[ImageCounts]]


class Judge:
    """Judges candidates one after the other, the source model first.

    Args:
        images: what they are judged on.
        files: where their labels and the references are kept.
        num_classes: number of classes.
        bank_labels: returns the label bank's current label (h, w) of each image, with 255 where
            there is none; None where no bank is there.
    """

    def __init__(
        self,
        images: TargetImages,
        files: CandidateFiles,
        num_classes: int,
        bank_labels: Callable[[], Labels] | None = None,
    ) -> None:
        self._images = images
        self._files = files
        self._num_classes = num_classes
        self._bank_labels = bank_labels

    def images(self) -> list[tuple]:
        """Return name, height and width of each image, as far as they are predicted."""
        names = (Path(path).name for path in self._images.paths)
        return [(name, *size) for name, size in zip(names, self._images.sizes(), strict=True)]

    def judge(self, model: nn.Module, candidates: Sequence[Candidate]) -> Labels:
        """Fill in the criteria of the last candidate, and renew ``ensemble`` of all.

        Args:
            model: the last candidate in eval mode, without a wrapper.
            candidates: all so far; the labels of all but the last are in the files.

        Returns:
            Sequence: its labels.
        """
        *earlier, candidate = candidates
        if not earlier:
            self._files.save_references(self._references(model))
        shown = self._shown(self._images.predict(model), f'candidate {candidate.iteration}')
        labels, probabilities = zip(*shown, strict=True)
        for name, reference in self._current_references().items():
            self._note(candidate, name, self._agreement(labels, reference))
        for name in criteria.OF_PROBABILITIES:
            self._note(candidate, name, getattr(criteria, name)(probabilities))
        sums = list(probabilities)
        if earlier:
            before = self._files.sums(earlier[-1].iteration)
            sums = [total.add_(p) for total, p in zip(before, probabilities, strict=True)]
        self._files.save_sums(candidate.iteration, sums)
        ensemble = [total.argmax(0) for total in sums]
        for each in earlier:
            of_each = self._files.labels(each.iteration)
            self._note(each, 'ensemble', self._agreement(of_each, ensemble))
        self._note(candidate, 'ensemble', self._agreement(labels, ensemble))
        return labels

    def evidence(self, candidates: Sequence[Candidate]) -> Evidence:
        """Return what the guard is to decide by, of all candidates of a training."""
        references = {
            **self._files.references(),
            'ensemble': [total.argmax(0) for total in self._files.sums(candidates[-1].iteration)],
        }
        found = Evidence([], {name: [] for name in GUARDS if name in references})
        for candidate in candidates:
            labels = self._files.labels(candidate.iteration)
            pixels = sum(torch.bincount(x.flatten(), minlength=self._num_classes) for x in labels)
            found.pixels.append(pixels.numpy())
            for name, counts in found.guards.items():
                counts.append(self._counts(labels, references[name]))
        return found

    def _references(self, model: nn.Module) -> dict[str, Labels]:
        """Return what the source model says over scales and flips, with both statistics."""
        found = {'agreement_source': self._augmented(model, 'source model')}
        if norms_of_source(model):
            with renewed_statistics(model, lambda: self._views(model)):
                name = 'source model with new statistics'
                found['agreement_statistics'] = self._augmented(model, name)
        return found

    def _views(self, model: nn.Module) -> Iterator[Tensor]:
        inputs = (x for scale in SCALES for x in self._images.inputs(model, scale))
        total = len(SCALES) * len(self._images.paths)
        return progress(inputs, 'new statistics of the source model', 'view', total)

    def _augmented(self, model: nn.Module, name: str) -> Labels:
        predicted = self._shown(self._images.predict(model, augmented=True), f'{name} in 6 views')
        return [label for label, _ in predicted]

    def _shown(self, predicted: object, name: str) -> object:
        return progress(predicted, f'predicting by {name}', 'image', len(self._images.paths))

    def _current_references(self) -> dict[str, Any]:
        references = self._files.references()
        if self._bank_labels is not None:
            references['agreement_bank'] = self._bank_labels()
        return references

    def _counts(self, labels: Labels, reference: Labels) -> ImageCounts:
        return criteria.count_agreement(labels, reference, self._num_classes)

    def _agreement(self, labels: Labels, reference: Labels) -> float:
        return criteria.agreement(self._counts(labels, reference))

    def _note(self, candidate: Candidate, name: str, value: float) -> None:
        if np.isfinite(value):
            candidate.criteria[name] = round(value, 6)  # as the table has it
