"""Puts recipes, pages and the list of published files into a wheel; all else: pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
FILES = ('model/zoo.json', 'model/README.md', 'data/README.md')


class BuildWithData(build_py):
    """Copies below ``mmseg_uvpt/_data`` what errors and commands name."""

    def run(self) -> None:
        if not self.editable_mode:  # files of an earlier build may be none of the project's today
            shutil.rmtree(Path(self.build_lib, 'mmseg_uvpt'), ignore_errors=True)
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
        pages = ROOT.glob('docs/**/*.md')
        for file in (*(ROOT / name for name in FILES), *pages):
            copy = data / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)


setup(cmdclass={'build_py': BuildWithData})
