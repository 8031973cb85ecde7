"""Mean and deviation of the inputs: those that the weights of timm's models were trained with."""

from mmengine.config import Config

_PIXEL = 255  # timm counts from 0 to 1
_CLOSE = 0.1


def _backbone(cfg: Config) -> dict:
    """Return the config of a model's backbone."""
    return (cfg.get('model') or {}).get('backbone') or {}


def is_adaptation(cfg: Config) -> bool:
    """Tell whether a config's model begins with a source model; without importing its class."""
    model = cfg.get('model') or {}
    return 'tuner' in model or 'source_checkpoint' in model


def initial_weights(cfg: Config) -> str | None:
    """Return the file, or the name on the hub, of the weights that a backbone begins with.

    None in an adaptation: it begins with a source model.
    """
    if is_adaptation(cfg):
        return None
    return (_backbone(cfg).get('init_cfg') or {}).get('checkpoint')


def fill_normalisation(cfg: Config) -> None:
    """Let inputs be normalised as timm describes the weights, in place, if the config says None."""
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor')
    if isinstance(preprocessor, dict):
        for name, wanted in _described(cfg).items():
            if preprocessor.get(name) is None:
                preprocessor[name] = wanted


def normalisation_warning(cfg: Config) -> str | None:
    """Say where a config normalises inputs otherwise than timm describes the weights."""
    stated = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if not (initial_weights(cfg) or '.' in (_backbone(cfg).get('model') or '')):
        return None  # weights of somebody else's, which timm does not describe
    wrong = [
        f'{name}={list(stated.get(name) or [])}, and timm says {wanted}'
        for name, wanted in _described(cfg).items()
        if not _same(stated.get(name), wanted)
    ]
    if not wrong:
        return None
    return (
        f'model.data_preprocessor has {"; ".join(wrong)} of {_weights(cfg)}: set both to None for '
        "what timm says, or name the weights' tag in the backbone's model"
    )


def _weights(cfg: Config) -> str:
    """Return timm's name of the weights, as far as it is known: a file's are a model's usual ones.

    An adaptation begins with a source model, and its backbone may still name the tag.
    """
    from mmseg_uvpt.checkpoints.hub import HUB, is_hub_name

    weights = initial_weights(cfg)
    is_named = weights and is_hub_name(weights)
    return weights.removeprefix(HUB) if is_named else _backbone(cfg)['model']


def _described(cfg: Config) -> dict[str, list[float]]:
    """Return ``mean`` and ``std`` from 0 to 255; nothing if the backbone is none of timm's."""
    from mmseg.registry import MODELS

    from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone, description
    from mmseg_uvpt.registry import is_a

    if not is_a(MODELS, _backbone(cfg), TimmBackbone):
        return {}
    try:
        described = description(_weights(cfg))
    except (ValueError, KeyError):  # said when it is built
        return {}
    return {
        name: [round(_PIXEL * number, 3) for number in getattr(described, name)]
        for name in ('mean', 'std')
        if described
    }


def _same(stated: object, wanted: list[float]) -> bool:
    return len(stated or ()) == len(wanted) and all(
        abs(a - b) < _CLOSE for a, b in zip(stated, wanted, strict=True)
    )
