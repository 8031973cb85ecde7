"""How recorded configs are read: those of version 0.1, and those that name what was built."""

from mmengine.config import Config

from mmseg_uvpt.engine.config.uvpt import translate, uvpt_config


def as_written(cfg: Config) -> None:
    """Turn a recorded config into one as a user writes it, in place; others stay as they are.

    Entries of version 0.1 go where they are now, and pipelines that begin with the `ImageCache` of
    ``uvpt.image_cache`` name its transforms again, by which options change them.
    """
    translate(cfg)
    folder = uvpt_config(cfg).image_cache
    for name in cfg if folder else ():
        if name.endswith('_dataloader') and isinstance(cfg[name], dict):
            cfg[name] = _without_cache(cfg[name].to_dict(), folder)


def _without_cache(node: object, folder: str) -> object:
    if isinstance(node, dict):
        return {key: _without_cache(value, folder) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    steps = []
    for step in node:
        is_cache = isinstance(step, dict) and step.get('type') == 'ImageCache'
        steps += step['transforms'] if is_cache and step['folder'] == folder else [step]
    return [_without_cache(step, folder) for step in steps]
