"""Which checkpoint counts: candidates are judged as a training goes on, and one is selected."""

import time
from collections.abc import Sequence
from pathlib import Path

import mmengine
import torch
from mmengine.dist import barrier, broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.datasets.seeded_batches import data_set_of
from mmseg_uvpt.engine.hooks.descent import DescentHook
from mmseg_uvpt.engine.hooks.resume import evaluating
from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeCheckpointHook, counting_score
from mmseg_uvpt.engine.inference.bank_labels import BankLabels
from mmseg_uvpt.engine.inference.judging import Judge
from mmseg_uvpt.engine.inference.loop import score_batch
from mmseg_uvpt.engine.inference.target_images import LOADER, TargetImages
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.bootstrap import FEWEST
from mmseg_uvpt.files import write_json, write_whole
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor
from mmseg_uvpt.models.segmentors.source import norms_of_source
from mmseg_uvpt.progress import progress
from mmseg_uvpt.selection.candidate_files import CandidateFiles
from mmseg_uvpt.selection.committee import GUARDED, RULES, TARGET_LABELS, Candidate
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION, Conclusion, conclude


@HOOKS.register_module()
class SelectionHook(Hook):
    """Judges the source model and what is trained of it, and selects one when training ends.

    Candidates are iteration 0, the source model, and those at which an evaluation is due, made or
    not. Each is judged by `selection.criteria` on a few images without labels, which process 0
    predicts while others wait, and by the target's labels where the training is evaluated. At the
    end ``selected.pth`` holds the chosen one and ``selection.json`` says why.

    Args:
        select: how one is chosen: ``'target labels'`` (the best score, as published), ``'guarded'``
            (`committee.choose_guarded`), ``'last'``, or the name of a criterion. Without labels
            the first is not possible, and ``'guarded'`` takes its place.
        images: how many of the config's ``target_train_dataloader`` are predicted, evenly spaced.
        score: by labels, of an evaluation (``'mIoU16'`` where the source is SYNTHIA); None for that
            by which the best checkpoint is kept.

    Attributes:
        corrections: hooks that correct labels.
        savers: hooks that say by ``save_best`` which score counts, unless ``score`` does.
        descent: hook that says in checkpoints which source model they are of, if they have one.
        judges_first: whether what the first iteration leaves is a candidate, too: the source model
            with renewed statistics, nearly.

    Raises:
        ValueError: there is no such rule.
    """

    priority = 'VERY_LOW'
    corrections: Sequence[LabelCorrectionHook] = ()
    savers: Sequence[WholeCheckpointHook] = ()
    descent: DescentHook | None = None
    judges_first = False

    def __init__(
        self, select: str = TARGET_LABELS, images: int = 64, score: str | None = None
    ) -> None:
        if select not in RULES:
            raise ValueError(f'select={select!r}: must be one of {", ".join(map(repr, RULES))}')
        self.select = select
        self.images = images
        self.score = score
        self._done: set[int] | None = None  # iterations of candidates; None: nothing is selected
        self._candidates: list[Candidate] = []  # in process 0 alone
        self._judge: Judge | None = None  # likewise

    def before_train(self, runner: Runner) -> None:
        """Judge the source model, or go on where the run being resumed was."""
        done = [None]
        if is_main_process():
            self._files = CandidateFiles(runner.work_dir)
            done = [self._prepare(runner)]
        broadcast_object_list(done)
        self._done = done[0]
        if self._done is not None and runner.iter == 0:
            self._add_candidate(runner)
            if runner.val_loop is not None:
                self._score(runner)

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Judge what an iteration begins with, where it was due and no evaluation has done so."""
        if self._is_due(runner) and runner.iter not in (self._done or ()):
            self._add_candidate(runner)
            if self._is_first(runner) and runner.val_loop is not None:
                self._score(runner)

    def before_val(self, runner: Runner) -> None:
        """Judge what is to be evaluated."""
        self._add_candidate(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Note the score of what was evaluated."""
        if self._candidates:
            self._note_score(runner, metrics or {})

    def after_train_epoch(self, runner: Runner) -> None:
        """Judge the last one, where no evaluation has done so."""
        if self._is_due(runner):
            self._add_candidate(runner)

    def after_train(self, runner: Runner) -> None:
        """Choose, write what was chosen, and remove the candidates."""
        if self._candidates:
            evidence = self._judge.evidence(self._candidates) if self._judge else ()
            classes = data_set_of(runner.train_dataloader).metainfo['classes']
            found = conclude(self.select, self._candidates, classes, self._metric, *evidence)
            self._write(runner, found)
            self._files.remove()
            runner.logger.info(found.sentence())
            if warning := found.warning():
                runner.logger.warning(warning)
        barrier()

    def _prepare(self, runner: Runner) -> set[int] | None:
        """Begin with the files, or go on with them; return the iterations of the candidates."""
        if runner.cfg.get(LOADER) and self.images:
            images = TargetImages(runner.cfg, self.images)
            model = without_wrapper(runner.model)
            bank = next((hook.bank for hook in self.corrections if hook.bank is not None), None)
            dataset = data_set_of(runner.train_dataloader)
            labels = None if bank is None else BankLabels(bank, dataset, images)
            self._judge = Judge(images, self._files, model.num_classes, labels)
            self._warn_early(runner, len(images.paths))
        else:
            runner.logger.warning(
                f'the config has no {LOADER}, or selection.images is 0: candidates are judged by '
                'labels alone, if there are any'
            )
        judged_on = self._judge.images() if self._judge else []
        if runner.iter == 0:
            self._files.begin()
            self._files.save_images(judged_on)
            return set()
        found = self._files.read_table(runner.iter, judged_on)
        if found is None:
            self._files.remove()  # what a kill has left of them
            former = ''
            if runner.iter < runner.max_iters:
                former = _set_aside(Path(runner.work_dir), runner.iter)
            runner.logger.warning(
                f'no candidates of this run before iteration {runner.iter} are there, judged on '
                f'the same images, so no checkpoint is selected when it ends{former}'
            )
            return None
        self._candidates = found
        return {candidate.iteration for candidate in found}

    def _warn_early(self, runner: Runner, images: int) -> None:
        """Say before a training for nothing where the guard can choose the source model alone."""
        lacks = []
        if images < FEWEST:
            lacks.append(f'{images} target images, and {FEWEST} are the fewest')
        if not norms_of_source(without_wrapper(runner.model)):
            lacks.append('a source model without batch norms, whose statistics it asks')
        is_guarded = self.select == GUARDED
        if lacks and (is_guarded or (self.select == TARGET_LABELS and runner.val_loop is None)):
            runner.logger.warning(
                f'the guard cannot tell whether training helps: it has {" and ".join(lacks)}. '
                f'{CHECKPOINT} will be the source model, unless default_hooks.selection.select '
                "is another, such as 'last'"
            )

    def _is_due(self, runner: Runner) -> bool:
        loop = runner.train_loop
        by_interval = loop.iter % loop.val_interval == 0 or loop.iter == loop.max_iters
        return by_interval or self._is_first(runner)

    def _is_first(self, runner: Runner) -> bool:
        return self.judges_first and runner.iter == 1

    def _add_candidate(self, runner: Runner) -> None:
        """Judge the model as it is, and keep it; once an iteration. Random states stay."""
        if self._done is None or runner.iter in self._done:
            return
        self._done.add(runner.iter)
        if is_main_process():
            model, candidate = without_wrapper(runner.model), Candidate(runner.iter)
            self._candidates.append(candidate)
            with evaluating(model):
                labels = self._judge.judge(model, self._candidates) if self._judge else ()
                self._files.save(runner.iter, _changed(model), labels)
            self._files.write_table(self._candidates)
            _tell(runner, candidate.iteration, candidate.criteria)
        barrier()

    def _score(self, runner: Runner) -> None:
        """Evaluate a candidate that is due before any evaluation, as all others will be, but for
        hooks: no checkpoint of it is saved as the best one, and the log has no evaluation more.
        """
        runner.logger.info(f'evaluating candidate {runner.iter}')
        loop, model = runner.val_loop, without_wrapper(runner.model)
        with evaluating(model):
            for batch in progress(loop.dataloader, f'evaluating candidate {runner.iter}', 'batch'):
                score_batch(loop, model, batch)
            metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
        if self._candidates:
            self._note_score(runner, metrics)

    @property
    def _metric(self) -> str:
        return self.score or counting_score(self.savers)

    def _note_score(self, runner: Runner, metrics: dict) -> None:
        candidate, metric = self._candidates[-1], self._metric
        if self.score and metrics and metric not in metrics:
            raise UserError(
                f'default_hooks.selection.score={metric!r}: an evaluation has '
                f'{", ".join(name for name in metrics if not name.startswith("IoU."))}'
            )
        if candidate.iteration != runner.iter or metric not in metrics:
            return
        candidate.score = round(float(metrics[metric]), 6)
        bounds = [metrics.get(f'{metric}_{side}') for side in ('low', 'high')]
        if None not in bounds:
            candidate.interval = tuple(round(float(bound), 6) for bound in bounds)
        self._files.write_table(self._candidates)
        _tell(runner, candidate.iteration, {metric: candidate.score})

    def _write(self, runner: Runner, found: Conclusion) -> None:
        """Write the chosen checkpoint, and then the record that names it."""
        model, chosen = without_wrapper(runner.model), found.selected.iteration
        tensors = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        meta = {
            'epoch': runner.epoch,
            'iter': chosen,
            'cfg': runner.cfg.pretty_text,
            'seed': runner.seed,
            'experiment_name': runner.experiment_name,
            'time': time.strftime('%Y%m%d_%H%M%S'),
            'mmengine_version': mmengine.__version__,
            'dataset_meta': data_set_of(runner.train_dataloader).metainfo,
        }
        checkpoint = {'meta': meta, 'state_dict': tensors | self._files.weights(chosen)}
        if self.descent:
            self.descent.before_save_checkpoint(runner, checkpoint)
        with write_whole(Path(runner.work_dir) / CHECKPOINT) as file:
            torch.save(checkpoint, file)
        write_json(Path(runner.work_dir) / SELECTION, found.to_json())


def _set_aside(folder: Path, iteration: int) -> str:
    """Rename what a shorter run selected, which is not this run's, and say so."""
    former = [folder / name for name in (SELECTION, CHECKPOINT) if (folder / name).is_file()]
    former = [path.rename(path.with_stem(f'{path.stem}_before_{iteration}')) for path in former]
    return f'; what a shorter one selected is {former[-1].name} now' if former else ''


def _changed(model: AdaptedSegmentor) -> dict[str, Tensor]:
    """Return what a training changes of what a segmentor predicts with, on the CPU: its state
    dict without frozen parameters."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    tensors = model.state_dict() | model.weights_to_predict_with()
    return {name: tensor.cpu() for name, tensor in tensors.items() if name not in frozen}


def _tell(runner: Runner, iteration: int, numbers: dict[str, float]) -> None:
    """Log numbers of a candidate, and hand them to the visualizer."""
    if numbers:
        told = ', '.join(f'{name} {value:.4g}' for name, value in numbers.items())
        runner.logger.info(f'candidate of iteration {iteration}: {told}')
        named = {f'selection/{name}': value for name, value in numbers.items()}
        runner.visualizer.add_scalars(named, iteration)
