"""The report that a script leaves in its work folder when it ends."""

import logging

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import print_log

from mmseg_uvpt.engine.config.uvpt import uvpt_config
from mmseg_uvpt.errors import first_line


def report_after(cfg: Config) -> None:
    """Write the report of a finished run, unless ``uvpt.report`` says otherwise.

    The run is finished: whatever fails here is logged as a warning, and fails nothing.
    """
    if not uvpt_config(cfg).report or not is_main_process():
        return
    try:
        from mmseg_uvpt.report.page import write_report

        print_log(f'wrote {write_report([cfg.work_dir])}', 'current')
    except Exception as error:
        print_log(
            f'no report was written ({type(error).__name__}: {first_line(error)}); the run is '
            f'whole. Try again: python tools/report.py {cfg.work_dir}',
            'current',
            logging.WARNING,
        )
