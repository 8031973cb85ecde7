"""Fixtures that all tests share."""

import gc
import importlib.util
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mmseg_uvpt  # noqa: F401  # before anything imports torchvision, timm or mmseg

# files that take longest: they start first, so that no process ends long after the others
LONG = (
    *('test_launchers.py', 'test_exact_resume.py', 'test_files.py', 'test_slurm.py'),
    *('test_compiled_training.py', 'test_parity.py', 'test_options.py', 'test_witnesses.py'),
    *('test_export_checkpoint.py', 'test_convert_datasets.py', 'test_golden_curves.py'),
    *('test_hook.py', 'test_label_record.py', 'test_work_folder.py', 'test_real_frames.py'),
)
REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / 'shared'


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long files before the others; within a file the order stays.

    Tests marked `gpu` are skipped where torch sees none.
    """
    items.sort(key=lambda item: item.path.name not in LONG)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='needs a CUDA device'))


def pytest_collection_finish() -> None:
    """Spare the garbage collector what imports left: half a second for each of mmengine's calls."""
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def no_layout():
    """Spare the layout of config texts, 0.3 s each, of which a run has six."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, True))
        yield


@pytest.fixture(scope='session')
def hear_ctrl_c() -> Callable[[], None]:
    """The ``preexec_fn`` of a process that is to be interrupted as from a terminal.

    A shell that starts the tests in the background has SIGINT ignored, which is inherited.
    """
    return lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        pytest.skip(f'{path} is absent: the fixtures it holds are not part of the repository')
    return path


@pytest.fixture(scope='session')
def shared_samples() -> Path:
    """Folder with a few real frames of each data set."""
    return _shared('samples')


@pytest.fixture(scope='session')
def shared_parity() -> Path:
    """Folder with numbers that the published implementation gives."""
    return _shared('parity')


@pytest.fixture(scope='session')
def parity_weights(shared_parity):
    """The module that makes weights and images from tensor names."""
    spec = importlib.util.spec_from_file_location('parity_weights', shared_parity / 'weights.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def build():
    """Return a function that builds the model of a file in configs/_base_/models."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmseg.registry import MODELS

    import mmseg_uvpt.register  # noqa: F401

    init_default_scope('mmseg')

    def build_model(name: str, changes: dict | None = None):
        config = Config.fromfile(REPOSITORY / 'configs' / '_base_' / 'models' / f'{name}.py')
        config.merge_from_dict({f'model.{key}': value for key, value in (changes or {}).items()})
        return MODELS.build(config.model)

    return build_model


@pytest.fixture(scope='session')
def labelled():
    """Return a function that wraps a label (B, H, W) as the samples of a batch."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    def wrap(labels) -> list[SegDataSample]:
        samples = []
        for label in torch.as_tensor(labels):
            sample = SegDataSample()
            sample.gt_sem_seg = PixelData(data=label[None].long())
            samples.append(sample)
        return samples

    return wrap
