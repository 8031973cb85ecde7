"""The hook that joins label bank and correction rule to a training run."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn

from mmseg_uvpt.acceleration.async_copies import HostCopy
from mmseg_uvpt.correction.bank_source import BankSource
from mmseg_uvpt.correction.batch import Crop, gather, joint_batch, read_crops, scatter
from mmseg_uvpt.correction.label_bank import Kept, LabelBank
from mmseg_uvpt.correction.record import CorrectionRecord
from mmseg_uvpt.correction.rule import LabelCorrectionRule
from mmseg_uvpt.correction.truth import Truth
from mmseg_uvpt.datasets.seeded_batches import data_set_of
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import remove_folder
from mmseg_uvpt.model_wrappers import without_wrapper

BANK = 'label_bank'  # folder in the work folder
CHECKPOINT_KEY = 'label_correction'


@HOOKS.register_module()
class LabelCorrectionHook(Hook):
    """Give each batch its labels from the bank, and correct the bank as training goes on.

    The data loader loads no label. The model leaves ``last_prediction`` with ``label``
    (B, h, w) uint8 and ``confidence`` (B, h, w) after each iteration. The defaults are the
    published recipe. What happens is logged, written to the visualizer, and to tables in the work
    folder (`record`).

    Args:
        pseudo_label_dir: folder of the pseudo labels that the bank begins with.
        interval: iterations between two decisions.
        queue_length: images over which an IoU is taken.
        slope: share by which the slope of a class's curve must have changed before it is corrected.
        quantile: of a class's confidences, above which its predictions are trusted; 0..1.
        num_classes: number of classes; None for that of the data set.
        foreign_labels: whether the pseudo labels need not be the source model's own. It changes
            nothing here: who starts a training compares them before
            (`engine.inference.label_record`).
        truth_dir: folder of the true labels of the training images, to say at the beginning, at
            each evaluation and at the end how right those of the bank are. They are never trained
            on.

    Attributes:
        anyway: whether to resume though settings or pseudo labels differ from those of the run.

    Raises:
        ValueError: ``quantile`` is out of its range.
    """

    anyway = False

    def __init__(
        self,
        pseudo_label_dir: str,
        interval: int = 200,
        queue_length: int = 1000,
        slope: float = 0.95,
        quantile: float = 0.80,
        num_classes: int | None = None,
        foreign_labels: bool = False,
        truth_dir: str | None = None,
    ) -> None:
        if not 0 <= quantile <= 1:
            raise ValueError(f'quantile must be in 0..1, not {quantile!r}')
        self.pseudo_label_dir = pseudo_label_dir
        self.interval = interval
        self.queue_length = queue_length
        self.slope = slope
        self.quantile = quantile
        self.num_classes = num_classes
        self.foreign_labels = foreign_labels
        self.truth_dir = truth_dir
        self.bank: LabelBank | None = None
        self._iteration = -1  # the last one whose predictions were kept
        self._saved: dict[str, Any] | None = None  # state of a checkpoint, until training begins

    def before_train(self, runner: Runner) -> None:
        """Create the bank, or open that of the run being resumed; rank 0 does."""
        loader = runner.train_dataloader
        dataset = data_set_of(loader)
        if self.num_classes is None:
            self.num_classes = len(dataset.metainfo['classes'])
        without_wrapper(runner.model).register_forward_hook(self._copy_prediction)
        epoch = math.ceil(len(dataset) / (loader.batch_size * get_world_size()))
        self.rule = self.make_rule(epoch)
        if not is_main_process():
            return
        folder = Path(runner.work_dir) / BANK
        source = BankSource(dataset, self.pseudo_label_dir, self.num_classes)
        truth = self.truth_dir
        self._truth = Truth(source, dataset, truth) if truth else None
        self.record = CorrectionRecord(runner.work_dir, dataset.metainfo['classes'], bool(truth))
        if runner.iter > 0:
            self._resume(runner, folder, source)
        else:
            self._begin(runner, folder, source)
            self._compare(runner, 0, 'begin')
        earliest = self.rule.earliest_start(loader.batch_size * get_world_size())
        if runner.max_iters <= earliest + 1 < math.inf:
            runner.logger.warning(
                f'no label will be corrected: no class can start before iteration {earliest:.0f}, '
                f'and the training has {runner.max_iters}. The correction begins with the second '
                f'epoch ({epoch} iterations each), and online once its queue is full '
                '(default_hooks.label_correction.queue_length, in images)'
            )

    def make_rule(self, epoch: int) -> LabelCorrectionRule:
        """Return the rule by which labels are corrected; a variant of it is a subclass's to return.

        Args:
            epoch: iterations until each image was seen once.
        """
        return LabelCorrectionRule(
            self.num_classes, epoch, self.interval, self.queue_length, self.slope
        )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Sequence] | None = None
    ) -> None:
        """Correct the labels of the batch's images, then scatter them to the processes."""
        crops = read_crops(data_batch)
        self.complete(crops, gather(crops), data_batch['data_samples'], runner.iter)

    def complete(
        self,
        crops: list[Crop],
        dealt: list[list[Crop]] | None,
        samples: Sequence,
        iteration: int,
    ) -> None:
        """Give the samples of a batch what the bank has of them: their labels.

        Args:
            crops: of this process.
            dealt: of all processes, on rank 0 (`batch.gather`).
            samples: one of each crop.
            iteration: counted from 0.
        """
        labels = scatter(dealt and self._labels(dealt, iteration))
        for crop, sample, label in zip(crops, samples, labels, strict=True):
            crop.set_label(sample, label)

    def _copy_prediction(self, model: nn.Module, *_: Any) -> None:
        """Begin to copy the prediction of a `loss`, without waiting for it.

        It is done before the backward pass: the hook then works while a GPU is at that.
        """
        if model.training and model.last_prediction is not None:
            self._prediction = HostCopy(*model.last_prediction)

    def _labels(self, dealt: list[list[Crop]], iteration: int) -> list[list[np.ndarray]]:
        """Return the labels of each process's crops, corrected from the second epoch on."""
        batch = joint_batch(dealt)
        for crop in batch:
            self._check_size(crop)
        if self.rule.is_past_first_epoch(iteration):
            for crop in batch:
                self._correct(crop.index)
        return [[self.bank.read_label(crop.index, crop.box) for crop in own] for own in dealt]

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Sequence] | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep what was predicted; at every interval decide what is corrected."""
        if 'skipped' not in (outputs or ()):  # else its prediction is worth nothing
            self._keep(runner, data_batch)
        if is_main_process():
            if self.rule.is_due(runner.iter):
                self._decide(runner)
            if (runner.iter + 1) % runner.train_loop.val_interval == 0:
                self._compare(runner, runner.iter + 1)

    def _keep(self, runner: Runner, data_batch: dict[str, Sequence]) -> None:
        predictions, confidences = self._prediction.wait()
        if not confidences.sum().isfinite():  # faster than to ask each one
            raise UserError(
                f'the network gives no finite numbers after iteration {runner.iter}: training '
                'has diverged. Go on from the last checkpoint with a lower learning rate: '
                '--resume-anyway --cfg-options optim_wrapper.optimizer.lr=...'
            )
        confidences = confidences.to(torch.float16).numpy()
        predictions = predictions.numpy()
        crops = read_crops(data_batch)
        own = [
            (crop.index, Kept(crop.box, crop.from_network(label), crop.from_network(confidence)))
            for crop, label, confidence in zip(crops, predictions, confidences, strict=True)
        ]
        dealt = gather(own)
        for index, kept in joint_batch(dealt or []):
            self.rule.observe(kept.prediction, self.bank.read_label(index, kept.box))
            self.bank.keep(index, runner.iter, kept)
        self._iteration = runner.iter

    def after_train(self, runner: Runner) -> None:
        """Write down what changed since the last decision, and close the bank."""
        if self.bank is not None:
            self.record.ended(self._iteration)
            if runner.iter % runner.train_loop.val_interval:
                self._compare(runner, runner.iter, 'end')
            self.bank.undo.clear()
            self.bank.close()
            self.bank = None

    def before_checkpoint(self, runner: Runner, iterations: int) -> None:
        """Have the bank remember how to return to here (`WholeCheckpointHook` calls this)."""
        if self.bank is not None:
            self.bank.flush()
            self.bank.undo.begin(iterations)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the state beside the weights."""
        if self.bank is None:
            return
        checkpoint[CHECKPOINT_KEY] = {
            'iteration': self._iteration,
            'rule': self.rule.state_dict(),
            'pixels_changed': torch.from_numpy(self.record.pixels_changed.copy()),
        }

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the state until `before_train`, where it is clear whether a run is resumed."""
        self._saved = checkpoint.get(CHECKPOINT_KEY)

    def _begin(self, runner: Runner, folder: Path, source: BankSource) -> None:
        if folder.exists():
            # That run ended before its first checkpoint. Opening tells whether it was this one.
            bank = LabelBank(folder, source.identity)
            used = bank.iteration >= 0
            bank.close()
            # An unused bank holds no work: its run was killed before it wrote what it was.
            if used and not runner.cfg.get('resume', False):
                raise UserError(
                    f'{folder} holds labels that an earlier run has trained with and may have '
                    'corrected. Go on with that run by --resume, or choose another --work-dir.'
                )
            remove_folder(folder)
        self.bank = source.make_bank(folder)
        self.record.begin()
        runner.logger.info(f'label bank: {len(self.bank)} frames in {folder}')

    def _resume(self, runner: Runner, folder: Path, source: BankSource) -> None:
        if self._saved is None:
            raise UserError(
                'the checkpoint to resume from holds no state of the label correction: it was '
                'not written by this training. Start the run again in another --work-dir.'
            )
        try:
            self.rule.load_state_dict(self._saved['rule'], other_settings=self.anyway)
        except ValueError as error:
            raise UserError(
                f'label correction cannot go on: {error}. Resume with the settings the run began '
                'with, choose another --work-dir, or go on all the same with --resume-anyway.'
            ) from error
        self.bank = LabelBank(folder, source.identity, runner.iter, moved=self.anyway)
        self._iteration = self._saved['iteration']
        # without the log that undoes changes, or with one that a power cut has left too short
        if self.bank.iteration != self._iteration:
            runner.logger.warning(
                f'the label bank {folder} is that of iteration {self.bank.iteration}, the '
                f'checkpoint that of iteration {self._iteration}: the run goes on with labels and '
                'predictions other than it had then, so its result may differ slightly from an '
                'uninterrupted run.'
            )
        self.bank.undo.begin(runner.iter)
        self.record.resume(runner.iter - 1)
        self.record.pixels_changed[:] = self._saved['pixels_changed'].cpu().numpy()

    def _check_size(self, crop: Crop) -> None:
        expected = self.bank.layout.frame_sizes[crop.index]
        if crop.frame_size != expected:
            raise UserError(
                f'frame {crop.index} is {crop.frame_size} in training and {expected} in the '
                f'label bank {self.bank.folder}: the training pipeline must resize with '
                "mmseg's Resize only, and images must not change"
            )

    def _correct(self, index: int) -> None:
        kept = self.bank.kept(index)
        if kept is None:
            return
        old = self.bank.read_label(index, kept.box)
        new = self.rule.correct(old, kept.prediction, kept.confidence)
        if new is not None:
            self.bank.write_label(index, kept.box, new)
            changed = np.bincount(new[new != old], minlength=self.num_classes)
            self.record.pixels_changed += changed

    def _decide(self, runner: Runner) -> None:
        decision = self.rule.decide(runner.iter, self.bank.thresholds(self.quantile))
        correcting = self.rule.correcting
        runner.visualizer.add_scalars(self.record.scalars(decision, correcting), runner.iter)
        sentence = self.record.decided(runner.iter, decision, correcting, self.rule.thresholds)
        if sentence:
            runner.logger.info(sentence)

    def _compare(self, runner: Runner, iterations: int, event: str = '') -> None:
        """Say how right the labels are after so many iterations, if the truth is known."""
        if self._truth is None:
            return
        found = self._truth.compare(self.bank)
        self.record.compared(iterations, event, found)
        runner.logger.info(f'label bank after {iterations} iterations: {found.sentence()}')
