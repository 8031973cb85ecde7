"""Which models an adapted one descends from, said in its checkpoints."""

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmseg_uvpt.checkpoints.hashes import ADAPTED_FROM, ancestors
from mmseg_uvpt.checkpoints.loading import load_file
from mmseg_uvpt.engine.inference.label_record import facts_of, is_descendant, record_in


class DescentHook(Hook):
    """Puts the hash of the source model's weights into the meta of checkpoints.

    Pseudo labels of the adapted model are known by it as those of a descendant
    (`label_record.require_labels_of`).

    Args:
        source: checkpoint that the training starts from.
        pseudo_label_dir: folder of its pseudo labels, if it has any.
    """

    def __init__(self, source: str, pseudo_label_dir: str | None) -> None:
        self.source = source
        self.pseudo_label_dir = pseudo_label_dir
        self._found: list[str] = []

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take what the run being resumed knew of its source model."""
        self._found = ancestors(checkpoint)

    def before_train(self, runner) -> None:
        """Read the source model, and log whose labels are trained on if they are not its own."""
        if not is_main_process() or (runner.iter and self._found):
            return
        loaded = load_file(self.source)
        own = facts_of(loaded, self.source)['weights_sha256']
        self._found = [own, *ancestors(loaded)]
        record = self.pseudo_label_dir and record_in(self.pseudo_label_dir)
        if record and is_descendant(record, own):
            runner.logger.info(
                f'pseudo labels: those of {record.get("checkpoint")}, which was adapted from this '
                'source model'
            )

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the hashes into the checkpoint."""
        checkpoint['meta'][ADAPTED_FROM] = self._found
