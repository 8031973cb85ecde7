"""All hooks of a training in one list, in the order in which they are called."""

import sys
from pathlib import Path

from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook, LoggerHook
from mmengine.runner import get_priority
from mmseg.registry import HOOKS

from mmseg_uvpt.acceleration.accelerate import Change
from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.engine.config.stream import ANEW, is_stream
from mmseg_uvpt.engine.config.training_labels import pseudo_label_dir
from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.engine.hooks.class_counts import ClassCountHook
from mmseg_uvpt.engine.hooks.descent import DescentHook
from mmseg_uvpt.engine.hooks.interruption import Interruption, InterruptionHook
from mmseg_uvpt.engine.hooks.logged_numbers import DeferredRuntimeInfoHook
from mmseg_uvpt.engine.hooks.method import MethodHook
from mmseg_uvpt.engine.hooks.missed_evaluation import MissedEvaluationHook
from mmseg_uvpt.engine.hooks.renewal import RenewStatisticsHook
from mmseg_uvpt.engine.hooks.resume import ExactResumeHook
from mmseg_uvpt.engine.hooks.selection import SelectionHook
from mmseg_uvpt.engine.hooks.skipped_iterations import SkippedIterationHook
from mmseg_uvpt.engine.hooks.status_line import StatusLineHook
from mmseg_uvpt.engine.hooks.whole_checkpoint import WholeCheckpointHook
from mmseg_uvpt.engine.work_folder.provenance import ProvenanceHook
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.progress import beside_log


def training_hooks(
    cfg: Config,
    command: str,
    interruption: Interruption,
    changes: list[Change],
    checkpoint: Path | None = None,
    anyway: bool = False,
) -> list[Hook]:
    """Make the hooks of a training: those of its config and those that every training has.

    Args:
        cfg: resolved config, which is recorded; its ``default_hooks`` are complete.
        command: the command line, for the record.
        interruption: which listens to signals.
        changes: what `accelerate` did, filled until training begins; for the record.
        checkpoint: what the training continues from; None from the beginning.
        anyway: continue though config, processes or data set differ.

    Returns:
        list: in the order of the calls: by priority, and within a priority as written here.
    """
    named, custom = _configured(cfg)
    made = [*named.values(), *custom]
    corrections = [hook for hook in made if isinstance(hook, LabelCorrectionHook)]
    savers = [hook for hook in made if isinstance(hook, WholeCheckpointHook)]
    source = (cfg.get('model') or {}).get('source_checkpoint')
    descent = DescentHook(source, pseudo_label_dir(cfg)) if source else None
    cure = [ANEW] if is_stream(cfg) else []
    for hook in corrections:
        hook.anyway = anyway
    for hook in made:
        if isinstance(hook, DeferredRuntimeInfoHook):
            hook.loggers = [each for each in made if isinstance(each, LoggerHook)]
        if isinstance(hook, SelectionHook):
            hook.corrections, hook.savers, hook.descent = corrections, savers, descent
            hook.judges_first = any(isinstance(each, RenewStatisticsHook) for each in made)

    def called(name: str) -> list[Hook]:
        return [named.pop(name)] if name in named else []

    hooks = [
        # puts random states and the sampler's place into checkpoints, and restores them: before
        # any hook draws a random number
        ExactResumeHook(anyway),
        # says `skipped` in the outputs of an iteration: before all that take losses or predictions
        SkippedIterationHook(uvpt_config(cfg).max_skipped_in_a_row),
        # collects losses for the loggers, which it knows, unless `skipped`
        *called('runtime_info'),
        # compares the classes of all parts: after the checkpoint says its own, before a label bank
        # is made by the label corrections, which it knows
        ClassCountHook(corrections),
        # measures the time of data and of iterations
        *called('timer'),
        # shuffles anew in each epoch, where there are epochs
        *called('sampler_seed'),
        # begins the method and says the iteration: before losses are computed, unless `skipped`
        MethodHook(),
        # labels each batch and corrects the bank, unless `skipped`
        *called('label_correction'),
        # logs losses, times and scores: after all that give them
        *called('logger'),
        # sets the next iteration's learning rate: after it was logged
        *called('param_scheduler'),
        # saves: after all whose state goes into the checkpoint have finished the iteration
        *called('checkpoint'),
        # says in checkpoints what source model they descend from: of an adaptation
        *([descent] if descent else []),
        # judges candidates, also by the banks of the label corrections, which it knows, and by the
        # score that the savers, which it knows, go by: after the bank is made and a checkpoint is
        # written from which the same candidate can be judged again; selects one, which the hook
        # before it says the descent of, before the record says that the training is finished
        *called('selection'),
        # writes the record when training begins: nothing can be found missing any more
        ProvenanceHook(cfg, command, checkpoint, changes),
        # makes the evaluation that a stopped run owes: once all hooks before it are ready
        MissedEvaluationHook(),
        # counts iterations on a terminal or beside a log: after they were logged, with the score
        # by which the savers, which it knows, keep the best
        *([StatusLineHook(savers)] if sys.stderr.isatty() or beside_log() else []),
        # ends the training with a checkpoint by the savers, which it knows: after all others
        InterruptionHook(interruption, savers, *cure),
        *named.values(),
        *custom,
    ]
    return sorted(hooks, key=lambda hook: get_priority(hook.priority))


def test_hooks(cfg: Config, *more: Hook) -> list[Hook]:
    """Make the hooks of a test: those of its config, one that compares classes, and ``more``."""
    named, custom = _configured(cfg)
    hooks = [*named.values(), ClassCountHook(), *custom, *more]
    return sorted(hooks, key=lambda hook: get_priority(hook.priority))


def _configured(cfg: Config) -> tuple[dict[str, Hook], list[Hook]]:
    """Make the hooks of a complete config: the default ones by their names, and the others.

    Raises:
        UserError: one of them cannot be used with those that every training has.
    """
    named = {name: _make(hook) for name, hook in cfg.default_hooks.items() if hook is not None}
    custom = [_make(hook) for hook in cfg.get('custom_hooks') or ()]
    if any(isinstance(hook, EMAHook) for hook in (*named.values(), *custom)):
        raise UserError(
            'EMAHook exchanges weights during evaluations and in checkpoints, so that what is '
            'scored, selected and resumed would be different models: leave it out. A moving '
            "average that predicts is model.type='MeanTeacher' (docs/methods.md)"
        )
    return named, custom


def _make(config: dict | Hook) -> Hook:
    """Make a hook of its config, in which ``priority`` is mmengine's and no argument."""
    if isinstance(config, Hook):
        return config
    arguments = {key: value for key, value in config.items() if key != 'priority'}
    hook = HOOKS.build(arguments)
    hook.priority = config.get('priority', hook.priority)
    return hook
