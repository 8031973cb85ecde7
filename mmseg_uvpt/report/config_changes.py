"""In which entries the config of a run differs from the recipe that it was made from."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from mmseg_uvpt.engine.config.complete import complete
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.work_folder.claim import changed_entries
from mmseg_uvpt.errors import first_line
from mmseg_uvpt.report.run_folder import RunFolder
from mmseg_uvpt.shipped import find_config


def config_changes(run: RunFolder) -> tuple[Mapping[str, tuple], str]:
    """Return entries by their dotted names, each as recipe and run have it, and what was compared.

    The recipe is read again as it is now; paths and options of the run are among what differs.
    """
    recipe = run.start.get('config')
    if run.config is None or not recipe:
        return {}, 'The folder does not say which recipe the run was made from.'
    if not Path(find_config(recipe)).is_file():
        return {}, f'The recipe {recipe} is not there any more, or not below this folder.'
    asked = argparse.Namespace(config=recipe, cfg_options=[], data_root=None)
    try:
        before = resolve(asked)
        complete(before)
        entries = {key: (old, new) for key, old, new in changed_entries(before, run.config)}
    except (Exception, SystemExit) as error:  # a program: anything can happen in it
        return {}, f'The recipe {recipe} cannot be read: {first_line(error)}'
    return entries, f'Compared with the recipe {recipe} as it is now.'
