"""Which class a config names, and this project's own scope of mmengine's registries.

The scope is for names that mmseg's inferencer looks for:
``dict(type='LoadImageFromFile', _scope_='mmseg_uvpt')`` is `LoadImageChecked`: under that name
`mmseg.apis.MMSegInferencer` finds and replaces it. Everything else is in mmseg's own registries.
"""

from collections.abc import Mapping

from mmengine.registry import Registry
from mmseg.registry import TRANSFORMS as MMSEG_TRANSFORMS

TRANSFORMS = Registry('transform', scope='mmseg_uvpt', parent=MMSEG_TRANSFORMS)


def class_of(registry: Registry, described: object) -> type | None:
    """Return the class that the ``type`` of a config is or names; None where it is of none."""
    kind = described.get('type') if isinstance(described, Mapping) else None
    kind = registry.get(kind) if isinstance(kind, str) else kind
    return kind if isinstance(kind, type) else None


def is_a(registry: Registry, described: object, base: type) -> bool:
    """Tell whether a config is of a class or of one derived from it."""
    return issubclass(class_of(registry, described) or object, base)
