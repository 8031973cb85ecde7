"""The runner that all scripts use."""

from mmengine.config import Config
from mmengine.runner import Runner

import mmseg_uvpt.engine.checkpoint_hook
import mmseg_uvpt.engine.optimizer
import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.engine.parameters import parameter_counts


class ProjectRunner(Runner):
    """mmengine's `Runner`, which leaves the config file to `provenance.write`.

    mmengine writes it into the work folder as soon as a runner is built, over what is there: a
    test would replace the config of the training whose folder it uses.
    """

    def dump_config(self) -> None:
        """Write nothing."""


def build_runner(cfg: Config) -> ProjectRunner:
    """Build the runner that ``cfg`` describes and log its model's numbers of parameters."""
    runner = ProjectRunner.from_cfg(cfg)
    model = runner.model
    while hasattr(model, 'module'):  # distributed or test-time augmentation
        model = model.module
    runner.logger.info(str(parameter_counts(model)))
    return runner
