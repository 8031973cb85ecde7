"""Make two libraries importable where they fail: torchvision, and yapf beside other processes.

torchvision: the registry's wheel is built for CUDA. Beside a CPU build of torch its operator
library does not load, and the import dies with ``operator torchvision::nms does not exist``
because a module registers fake kernels for two operators that the library would have declared.
Declaring their schemas first is enough: nothing in this project calls them, but timm, mmengine and
mmseg import torchvision for other parts.

yapf, which mmengine imports: it keeps its grammar in a file of the user's cache, which has its name
before it has its contents (yapf 0.43.0, issue 1204 there). A process that starts a moment after the
first one, as those of ``torchrun`` and of the launchers do, dies with ``EOFError``; so does every
later one where the disk was full.

Importing ``mmseg_uvpt`` calls :func:`mend_imports`, which imports nothing: each library is mended
when, and only if, it is imported.
"""

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder

_SCHEMAS = {
    'nms': 'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms': 'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
}

_library = None  # a torch.library.Library withdraws its declarations when it is collected


class _Before(MetaPathFinder):
    """Finds nothing, but hears of a module's first import, and calls `mend` before it is run."""

    def __init__(self, module: str, mend: Callable[[], None]):
        self.module = module
        self.mend = mend

    def find_spec(self, fullname, path=None, target=None):
        if fullname == self.module:
            sys.meta_path.remove(self)
            self.mend()


def mend_imports() -> None:
    """Have torchvision and yapf mended while they are imported; what is imported already stays."""
    sys.meta_path[:0] = [
        _Before('torchvision._meta_registrations', _declare_missing_operators),
        _Before('yapf_third_party._ylib2to3.pygram', _make_broken_grammars_anew),
    ]


def _declare_missing_operators() -> None:
    """Declare the operators that torchvision's library has not, by now, declared itself."""
    global _library
    import torch
    import torchvision.extension  # noqa: F401  # loads the operator library, if it can be loaded

    missing = [name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        _library = torch.library.Library('torchvision', 'FRAGMENT')
        for name in missing:
            _library.define(_SCHEMAS[name])


def _make_broken_grammars_anew() -> None:
    """Have yapf make, and write, a grammar again whose file is empty or cut short."""
    from pickle import UnpicklingError

    from yapf_third_party._ylib2to3.pgen2 import driver

    load = driver.load_grammar

    def load_or_make(text: str):
        try:
            return load(text)
        except (EOFError, UnpicklingError):
            return load(text, force=True)

    driver.load_grammar = load_or_make
