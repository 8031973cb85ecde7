"""The report that a script leaves in its work folder when it ends."""

import logging
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.errors import first_line


def report_after(cfg: Config) -> None:
    """Write the report of a finished run, unless ``uvpt.report`` says otherwise.

    The run is finished: whatever fails here is logged as a warning, and fails nothing.
    """
    if uvpt_config(cfg).report and is_main_process():
        _try([cfg.work_dir])


def report_jobs(folders: Sequence[Path], out: Path) -> None:
    """Write the report of finished jobs side by side, of what is on disk; see `report_after`."""
    if folders:
        _try(folders, out, predict=False)


def _try(folders: Sequence[str | Path], *where: Path, **how: bool) -> None:
    try:
        from mmseg_uvpt.report.page import write_report  # takes seconds

        print_log(f'wrote {write_report(folders, *where, **how)}', 'current')
    except Exception as error:
        again = ' '.join(map(str, folders))
        print_log(
            f'no report was written ({type(error).__name__}: {first_line(error)}); what ran is '
            f'whole. Try again: python tools/report.py {again}',
            'current',
            logging.WARNING,
        )
