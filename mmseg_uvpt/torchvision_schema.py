"""Make ``import torchvision`` work beside a CPU build of torch.

The registry's torchvision wheel is built for CUDA. Beside a CPU build of torch its operator
library does not load, and the import dies with ``operator torchvision::nms does not exist``
because a module registers fake kernels for two operators that the library would have declared.
Declaring their schemas first is enough: nothing in this project calls them, but timm and mmseg
import torchvision for other parts.
"""

_SCHEMAS = {
    'nms': 'nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
    'qnms': 'qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor',
}

_library = None  # a torch.library.Library withdraws its declarations when it is collected


def declare_missing_operators() -> bool:
    """Import torchvision, declaring the operators it misses if, and only if, that import fails.

    Returns:
        bool: True if the declarations were needed.

    Raises:
        RuntimeError: torchvision fails for another reason; the error is passed on unchanged.
    """
    global _library
    try:
        import torchvision
    except RuntimeError as error:
        if 'torchvision::nms' not in str(error):
            raise
    else:
        return False

    import sys

    from torch.library import Library

    for name in [n for n in sys.modules if n.split('.')[0] == 'torchvision']:
        del sys.modules[name]  # left half-imported by the failure
    _library = Library('torchvision', 'DEF')
    for schema in _SCHEMAS.values():
        _library.define(schema)
    import torchvision  # noqa: F401

    return True
