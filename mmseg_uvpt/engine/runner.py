"""The runner that all scripts use."""

from mmengine.config import Config
from mmengine.runner import Runner

import mmseg_uvpt.engine.checkpoint_hook
import mmseg_uvpt.engine.optimizer
import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.engine.parameters import parameter_counts


class ProjectRunner(Runner):
    """mmengine's `Runner` where our work folders follow other rules."""

    def dump_config(self) -> None:
        """Write nothing; `provenance.write` does.

        mmengine writes the config as soon as a runner is built, over what is there: a test would
        replace the config of the training whose folder it uses.
        """

    def load_or_resume(self) -> None:
        """Load or resume from the file that `run_folder.claim` chose, if it chose one.

        Without one mmengine would follow ``last_checkpoint``, which may name a file that is gone.
        """
        if self._load_from is not None:
            super().load_or_resume()


def build_runner(cfg: Config) -> ProjectRunner:
    """Build the runner that ``cfg`` describes and log its model's numbers of parameters."""
    runner = ProjectRunner.from_cfg(cfg)
    model = runner.model
    while hasattr(model, 'module'):  # distributed or test-time augmentation
        model = model.module
    runner.logger.info(str(parameter_counts(model)))
    return runner
