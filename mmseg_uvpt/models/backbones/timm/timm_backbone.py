"""What the families of timm's models have in common as staged backbones."""

import inspect
from typing import Any, ClassVar

import timm
from timm.models import PretrainedCfg
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.staged import StagedBackbone


class TimmBackbone(StagedBackbone):
    """A model of timm, stage by stage; below ``net`` the names of parameters are timm's.

    A family sets ``kinds``, timm's classes that it can run; ``fixed``, the arguments that let them
    take images of any size; and ``classifier``, the parts that only timm's classifier has.

    Args:
        model: timm's name of the model, such as ``'convnext_base'``, or with the tag of its
            weights, ``'convnext_base.fb_in22k'``.
        drop_path_rate: stochastic depth of the last block.
        init_cfg: ``dict(type='Pretrained', checkpoint=WEIGHTS)`` names a file of timm's weights, or
            those on the hub, such as ``'timm/convnext_base.fb_in22k'``.
        **kwargs: of timm's model, where it is to be another than the named one.

    Raises:
        ValueError: timm has no such model, it takes other arguments, or is of another family.
    """

    kinds: tuple[type[nn.Module], ...]
    fixed: ClassVar[dict[str, Any]] = {}
    classifier: tuple[str, ...] = ('head',)

    def __init__(
        self, model: str, drop_path_rate: float = 0.0, init_cfg: dict | None = None, **kwargs
    ):
        super().__init__(init_cfg)
        description(model)
        if drop_path_rate:
            kwargs['drop_path_rate'] = drop_path_rate
        try:
            self.net = timm.create_model(model, num_classes=0, **self.fixed, **kwargs)
        except TypeError as error:
            raise ValueError(f'timm cannot make {model} with these arguments: {error}') from error
        if not isinstance(self.net, self.kinds):
            names = ', '.join(kind.__name__ for kind in self.kinds)
            raise ValueError(f'{model} is a {type(self.net).__name__}, which is none of {names}')
        for part in self.classifier:
            if getattr(self.net, part, None) is not None:
                setattr(self.net, part, nn.Identity())
        self.classifier_parts = tuple(f'net.{part}.' for part in self.classifier)
        self.drop_path_rate = drop_path_rate
        self.widths = tuple(stage['num_chs'] for stage in self.net.feature_info)
        self.strides = tuple(stage['reduction'] for stage in self.net.feature_info)

    def from_file(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Do as timm itself with a file, then put its names below ``net``.

        So files of a model's authors fit too, and positions of another image size are resized.
        """
        translate = getattr(inspect.getmodule(type(self.net)), 'checkpoint_filter_fn', None)
        try:
            tensors = translate(dict(tensors), self.net) if translate else tensors
        except Exception as error:  # of tensors that it does not expect
            raise ValueError(f'timm cannot read it: {type(error).__name__}: {error}') from error
        return {f'net.{name}': tensor for name, tensor in tensors.items()}


def description(name: str) -> PretrainedCfg | None:
    """Return what timm says of weights: where they are, and the inputs that they were trained on.

    Args:
        name: of a model with the tag of its weights, or without for those it takes by default.

    Returns:
        PretrainedCfg: None of a model that somebody added without.

    Raises:
        ValueError: timm has no such model, or it has no such weights.
    """
    if not timm.is_model(name):
        near = ', '.join(timm.list_models(f'*{name.split("_")[0]}*')[:6])
        raise ValueError(f'timm {timm.__version__} has no model {name!r}; it has {near}')
    try:
        return timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        model = name.partition('.')[0]
        tags = [known.partition('.')[2] for known in timm.list_pretrained(f'{model}.*')]
        raise ValueError(
            f'timm {timm.__version__} has no weights {name!r}; those of {model} are called '
            f'{", ".join(tags)}'
        ) from error
