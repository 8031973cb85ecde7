"""Make ``import torchvision`` work beside a CPU build of torch.

The registry's torchvision wheel is built for CUDA. Beside a CPU build of torch its operator
library does not load, and the import dies with ``operator torchvision::nms does not exist``
because a module registers fake kernels for two operators that the library would have declared.
Declaring their schemas first is enough: nothing in this project calls them, but timm, mmengine and
mmseg import torchvision for other parts.

Importing ``mmseg_uvpt`` calls :func:`declare_before_use`, which imports nothing: what is missing is
declared when, and only if, torchvision is imported.
"""

import sys
from importlib.abc import MetaPathFinder

_SCHEMAS = {
    'nms': 'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms': 'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
}

_library = None  # a torch.library.Library withdraws its declarations when it is collected


class _BeforeFakeKernels(MetaPathFinder):
    """Finds nothing, but hears of torchvision's import, and declares before the fakes register."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == 'torchvision._meta_registrations':
            sys.meta_path.remove(self)
            _declare_missing_operators()


def declare_before_use() -> None:
    """Have the operators that torchvision will miss declared while it is imported.

    Where its operator library loads, or torchvision is imported already, nothing is declared.
    """
    sys.meta_path.insert(0, _BeforeFakeKernels())


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
