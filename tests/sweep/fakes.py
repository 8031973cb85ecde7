"""A job without a model: a few lines of Python in the place of a script."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.sweep.jobs import Job, Settings
from mmseg_uvpt.sweep.rows import Row

DONE = "import json; json.dump({'mIoU19': 50.0}, open(f'{folder}/result.json', 'w'))"


@dataclass(frozen=True)
class FakeJob(Job):
    """Runs ``code``; done once ``result.json`` is in its folder, missing while ``wants`` is."""

    code: str = DONE
    wants: Path | None = None

    stage = 'fake'
    config = Path('fake.py')
    cfg = Config()
    model = newest = None

    def __reduce__(self):
        return type(self), (self.row, self.seed, self.settings, self.code, self.wants)

    @property
    def needs(self):
        return self.wants

    @property
    def makes(self):
        return self.folder / 'result.json'

    def require(self):
        if self.wants and not self.wants.exists():
            raise UserError(f'{self.wants} does not exist')

    def done(self):
        try:
            return bool(json.loads(self.makes.read_text()))
        except (OSError, ValueError):
            return False

    def arguments(self):
        return []

    def command(self):
        return [sys.executable, '-c', f'folder = {str(self.folder)!r}\n{self.code}']


def fake_jobs(work_root: Path, *codes: str, **rest) -> list[FakeJob]:
    """Return a job for each code: job0, job1, ..."""
    settings = Settings(config_root=Path('configs'), work_root=work_root)
    rows = [Row(f'job{i}', 'SSS', 'Swin-B', 'GTA', None, None) for i in range(len(codes))]
    return [FakeJob(row, 0, settings, code, **rest) for row, code in zip(rows, codes, strict=True)]
