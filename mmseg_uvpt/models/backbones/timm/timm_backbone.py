"""What the families of timm's models have in common as staged backbones."""

from typing import Any, ClassVar

import timm
from torch import nn

from mmseg_uvpt.models.backbones.staged import StagedBackbone


class TimmBackbone(StagedBackbone):
    """A model of timm, stage by stage; below ``net`` the names of parameters are timm's.

    A family sets ``kinds``, timm's classes that it can run; ``fixed``, the arguments that let them
    take images of any size; and ``classifier``, the parts that only timm's classifier has.

    Args:
        model: timm's name of the model, such as ``'convnext_base'``.
        drop_path_rate: stochastic depth of the last block.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)`` names a file of timm's weights.
        **kwargs: of timm's model, where it is to be another than the named one.

    Raises:
        ValueError: timm has no such model, it takes other arguments, or is of another family.
    """

    kinds: tuple[type[nn.Module], ...]
    fixed: ClassVar[dict[str, Any]] = {}
    classifier: tuple[str, ...] = ('head',)
    file_prefix = 'net.'

    def __init__(
        self, model: str, drop_path_rate: float = 0.0, init_cfg: dict | None = None, **kwargs
    ):
        super().__init__(init_cfg)
        if not timm.is_model(model):
            near = ', '.join(timm.list_models(f'*{model.split("_")[0]}*')[:6])
            raise ValueError(f'timm {timm.__version__} has no model {model!r}; it has {near}')
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
        self.classifier_parts = tuple(f'{self.file_prefix}{part}.' for part in self.classifier)
        self.drop_path_rate = drop_path_rate
        self.widths = tuple(stage['num_chs'] for stage in self.net.feature_info)
