"""How recorded configs are read: those of version 0.1, and those that name what was built."""

from mmengine.config import Config

from mmseg_uvpt.engine.config.uvpt import translate, uvpt_config
from mmseg_uvpt.nested import everything_in

_RENAMED = {
    'CityscapesDataset': 'CheckedCityscapesDataset',  # was in mmseg's place in version 0.1
    'GeneralisingPreprocessor': 'AugmentingPreprocessor',
}


def as_written(cfg: Config) -> None:
    """Turn a recorded config into one as a user writes it, in place; others stay as they are.

    Entries of version 0.1 go where they are now, and classes get the names that they have now.
    Pipelines that begin with the `ImageCache` of ``uvpt.image_cache`` name its transforms again, by
    which options change them.
    """
    _name_types(cfg)
    translate(cfg)
    folder = uvpt_config(cfg).image_cache
    for name in cfg:
        if name.endswith('_dataloader') or name == 'model':
            _rewrite(cfg[name], folder)


def _name_types(cfg: Config) -> None:
    """Put names in the place of classes, which a record could not hold, and drop their imports."""
    for name in [name for name, value in cfg._cfg_dict.items() if isinstance(value, type)]:
        cfg._cfg_dict.pop(name)
    parts = [part for part in everything_in(cfg._cfg_dict) if isinstance(part, dict)]
    for part in parts:
        if isinstance(part.get('type'), type):
            from mmseg_uvpt.registry import name_of  # takes seconds

            part['type'] = name_of(part['type'])


def _rewrite(node: object, folder: str | None) -> None:
    if isinstance(node, list | tuple):
        for each in node:
            _rewrite(each, folder)
    if not isinstance(node, dict):
        return
    if node.get('type') in _RENAMED:
        node['type'] = _RENAMED[node['type']]
    for key, value in list(node.items()):
        if key == 'pipeline':
            node[key] = [step for part in value for step in _without_cache(part, folder)]
        else:
            _rewrite(value, folder)


def _without_cache(step: dict, folder: str | None) -> list[dict]:
    is_cache = isinstance(step, dict) and step.get('type') == 'ImageCache'
    return step['transforms'] if is_cache and step['folder'] == folder else [step]
