"""Which class a config names, and this project's own scope of mmengine's registries.

The scope is for names that mmseg's inferencer looks for:
``dict(type='LoadImageFromFile', _scope_='mmseg_uvpt')`` is `LoadImageChecked`: under that name
`mmseg.apis.MMSegInferencer` finds and replaces it. Everything else is in mmseg's own registries.
"""

from collections.abc import Mapping

import mmengine.registry
import mmseg.registry
from mmengine.registry import Registry

TRANSFORMS = Registry('transform', scope='mmseg_uvpt', parent=mmseg.registry.TRANSFORMS)
# those that a config is built by: mmseg's, where names are looked for first
REGISTRIES = [
    registry
    for module in (mmseg.registry, mmengine.registry)
    for registry in vars(module).values()
    if isinstance(registry, Registry)
]


def class_of(registry: Registry, described: object) -> type | None:
    """Return the class that the ``type`` of a config is or names; None where it is of none."""
    import mmseg_uvpt.register  # noqa: F401 - a registry knows the names of what was imported

    kind = described.get('type') if isinstance(described, Mapping) else None
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) else None


def name_of(kind: type) -> str:
    """Return what a config can call a class: its name, or its path where that is of another."""
    called = (r.module_dict[kind.__name__] for r in REGISTRIES if kind.__name__ in r.module_dict)
    is_known = next(called, None) is kind
    return kind.__name__ if is_known else f'{kind.__module__}.{kind.__qualname__}'


def is_a(registry: Registry, described: object, base: type) -> bool:
    """Tell whether a config is of a class or of one derived from it."""
    return issubclass(class_of(registry, described) or object, base)
