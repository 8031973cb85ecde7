"""The evaluation that an interrupted run still owes."""

from mmengine.hooks import Hook


class MissedEvaluationHook(Hook):
    """Evaluates a resumed run where its checkpoint stands, if an evaluation is due there.

    A checkpoint is written before the evaluation of its iteration. A run that was stopped in
    between would go on without that score, and might miss its best checkpoint; where the
    evaluation had been made already, it gives the same numbers again.
    """

    priority = 'LOWEST'

    def before_train(self, runner) -> None:
        """Evaluate if the run continues from an iteration that is followed by an evaluation."""
        loop = runner.train_loop
        due = loop.iter % loop.val_interval == 0 or loop.iter == loop.max_iters
        if due and loop.iter >= max(1, loop.val_begin) and runner.val_loop is not None:
            runner.logger.info(f'evaluating at iteration {loop.iter}, where the run was stopped')
            runner.val_loop.run()
