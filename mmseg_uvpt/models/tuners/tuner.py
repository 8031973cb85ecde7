"""What is tuned of an adapted model, and what it adds to the frozen source model."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from timm import layers
from torch import Tensor, nn

from mmseg_uvpt.models.backbones.staged import StagedBackbone
from mmseg_uvpt.ops.resizing import padded
from mmseg_uvpt.ops.tokens import map_view

_OF_TIMM = ('RmsNorm', 'RmsNorm2d', 'SimpleNorm', 'SimpleNorm2d')
NORMS = (
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase),
    # timm's, of which older releases have fewer
    *(getattr(layers, name) for name in _OF_TIMM if hasattr(layers, name)),
)


def require_whole(**given: int) -> None:
    """Raise a ValueError unless all arguments, by their names, are whole numbers above 0."""
    for name, number in given.items():
        if type(number) is not int or number < 1:
            raise ValueError(f'{name}={number!r}: must be a whole number above 0')


class Tuner(BaseModule):
    """Holds the source model's backbone, frozen as ``staged``, and what is tuned beside it.

    What a subclass adds lies outside of ``staged``; at the start of a training the features are
    those of the source model.

    Args:
        staged: config of the source model's backbone; its weights are the source model's.

    Attributes:
        tunes_head: whether the head is tuned, and the neck with it.

    Raises:
        ValueError: the backbone is none that can be tuned so.
    """

    tunes_head = True
    needs_stages = True

    def __init__(self, staged: dict):
        super().__init__()
        self.staged = MODELS.build({k: v for k, v in staged.items() if k != 'init_cfg'})
        if self.needs_stages and not isinstance(self.staged, StagedBackbone):
            raise ValueError(
                f'{type(self).__name__} needs a backbone that runs stage by stage '
                f'(docs/backbones.md), and {type(self.staged).__name__} is none: '
                "tuner=dict(type='Head') tunes the head of any"
            )
        self.staged.requires_grad_(False)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature map of each stage for images (B, 3, H, W)."""
        return self.features_and_prompts(image)[0]

    def features_and_prompts(self, image: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Return feature map and prompt, both (B, c, h_i, w_i), of each stage i.

        A prompt is what a stage's blocks are given. A backbone without stages has none.
        """
        if not isinstance(self.staged, StagedBackbone):
            return tuple(self.staged(image)), ()
        features, prompts, x = [], [], padded(image, self.staged.patch)
        for stage in range(len(self.staged.widths)):
            tokens, size = self.staged.enter(stage, x)
            prompts.append(map_view(tokens[:, self.staged.prefix_tokens :], size))
            tokens = self.staged.blocks(stage, tokens, size)
            feature, x = self.staged.output(stage, tokens, size)
            features.append(feature)
        return tuple(features), tuple(prompts)

    def is_added(self, name: str) -> bool:
        """Tell whether a parameter of the tuner is none of the source model's."""
        return not name.startswith('staged.')


@MODELS.register_module()
class Head(Tuner):
    """Tunes the head alone, of a source model with any backbone."""

    needs_stages = False


@MODELS.register_module()
class All(Tuner):
    """Tunes the whole source model."""

    needs_stages = False

    def __init__(self, staged: dict):
        super().__init__(staged)
        self.staged.requires_grad_(True)


@MODELS.register_module()
class Norm(Tuner):
    """Tunes weight and bias of the backbone's norms, and the head; as Tent (Wang et al., ICLR 2021)
    does without the head."""

    needs_stages = False

    def __init__(self, staged: dict):
        super().__init__(staged)
        for module in self.staged.modules():
            if isinstance(module, NORMS):
                module.requires_grad_(True)


@MODELS.register_module()
class Bias(Tuner):
    """Tunes the backbone's biases, and the head (BitFit; Ben Zaken et al., ACL 2022)."""

    needs_stages = False

    def __init__(self, staged: dict):
        super().__init__(staged)
        for name, parameter in self.staged.named_parameters():
            parameter.requires_grad_(name.rpartition('.')[2].endswith('bias'))


@MODELS.register_module()
class Statistics(Tuner):
    """Tunes no parameter: only the running mean and variance of the head's batch norms follow.

    (Nado et al., "Evaluating Prediction-Time Batch Normalization", 2020.) The scale weights, which
    are the method's and no part of what predicts, are tuned as ever.
    """

    tunes_head = False
    needs_stages = False
