"""How version 0.1 wrote what is tuned: ``tune``, and ``backbone.staged`` beside the prompts.

It needs no torch, so that a config can be read without.
"""

_PROMPTS = ('heads', 'points', 'generator_channels', 'add_level_embedding')
_OURS = ('PromptedBackbone', 'Staged', 'Timm')  # of which no backbone has such arguments
_STAGED = 'model.backbone.staged.'


def as_written_now(model: dict) -> dict:
    """Return the config of an adapted model with a ``backbone`` and a ``tuner`` apart.

    Args:
        model: config of a segmentor, of version 0.1, of now, or of a file of 0.1 that inherits from
            one of now; it stays as it is.
    """
    backbone, tuner = dict(model.get('backbone') or {}), dict(model.get('tuner') or {})
    is_ours = str(backbone.get('type')).startswith(_OURS)
    prompts = {name: backbone.pop(name) for name in _PROMPTS if name in backbone and is_ours}
    if 'tune' in model:
        prompts['tune'] = model['tune']
    if not (prompts or 'staged' in backbone):
        return model
    staged = dict(backbone.pop('staged', {}))
    whole = staged.pop('_delete_', False) or 'type' in staged
    translated = {key: value for key, value in model.items() if key != 'tune'}
    translated['backbone'] = staged if whole else {**backbone, **staged}
    translated['tuner'] = {'type': 'Prompts', **tuner, **prompts}
    return translated


def option_as_written_now(key: str) -> str:
    """Return what the key of an option of version 0.1 is called now; others as they are."""
    if key.startswith(_STAGED):
        return f'model.backbone.{key.removeprefix(_STAGED)}'
    of_prompts = {f'model.backbone.{name}': f'model.tuner.{name}' for name in _PROMPTS}
    return {'model.tune': 'model.tuner.tune', **of_prompts}.get(key, key)
