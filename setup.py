"""Puts the recipes and the list of published files into a wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithData(build_py):
    """Copies ``configs`` and ``model/zoo.json`` below ``mmseg_uvpt/_data``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # an editable installation reads them where they are
            return
        data = Path(self.build_lib, 'mmseg_uvpt/_data')
        shutil.copytree(
            ROOT / 'configs',
            data / 'configs',
            ignore=shutil.ignore_patterns('__pycache__'),
            dirs_exist_ok=True,
        )
        (data / 'model').mkdir(exist_ok=True)
        shutil.copy(ROOT / 'model/zoo.json', data / 'model')


setup(cmdclass={'build_py': BuildWithData})
