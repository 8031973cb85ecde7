"""How version 0.1 wrote what is tuned: ``tune``, and ``backbone.staged`` beside the prompts.

It needs no torch, so that a config can be read without.
"""

_PROMPTS = ('heads', 'points', 'generator_channels', 'add_level_embedding')
_OURS = (  # of which no backbone has such arguments
    *('PromptedBackbone', 'StagedSwin', 'StagedMiT', 'TimmSwin', 'TimmConvNeXt', 'TimmPVT'),
    *('TimmEfficientNet', 'TimmViT'),
)
_STAGED = 'model.backbone.staged.'


def as_written_now(model: dict) -> dict:
    """Return the config of an adapted model with a ``backbone`` and a ``tuner`` apart.

    Args:
        model: config of a segmentor, of version 0.1, of now, or of a file of 0.1 that inherits from
            one of now; it stays as it is.

    Raises:
        ValueError: the staged backbone has no type.
    """
    backbone, tuner = dict(model.get('backbone') or {}), dict(model.get('tuner') or {})
    is_ours = backbone.get('type') in _OURS
    prompts = {name: backbone.pop(name) for name in _PROMPTS if name in backbone and is_ours}
    if 'tune' in model:
        prompts['tune'] = model['tune']
    if not (prompts or 'staged' in backbone):
        return model
    staged = dict(backbone.pop('staged', {}))
    other = staged.get('type', backbone.get('type')) != backbone.get('type')
    whole = staged.pop('_delete_', False) or other
    translated = {key: value for key, value in model.items() if key != 'tune'}
    translated['backbone'] = staged if whole else _merged(staged, backbone)
    if translated['backbone'].get('type') == 'PromptedBackbone':
        raise ValueError('model.backbone: PromptedBackbone names no type of its staged backbone')
    translated['tuner'] = {'type': 'Prompts', **tuner, **prompts}
    return translated


def _merged(change: dict, base: dict) -> dict:
    """Return a dict with the entries of another, as mmengine merges configs."""
    merged = dict(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(value, base[key]) if both else value
    return merged


def option_as_written_now(key: str, backbone: str | None) -> str:
    """Return what the key of an option of version 0.1 is called now; others as they are.

    Args:
        key: dotted.
        backbone: type of the config's backbone.
    """
    if key.startswith(_STAGED):
        return f'model.backbone.{key.removeprefix(_STAGED)}'
    of_prompts = {f'model.backbone.{name}': f'model.tuner.{name}' for name in _PROMPTS}
    of_prompts = of_prompts if backbone in _OURS else {}
    return {'model.tune': 'model.tuner.tune', **of_prompts}.get(key, key)
