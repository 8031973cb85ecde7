"""AdaptFormer (Chen et al., NeurIPS 2022): a bottleneck beside each feed-forward layer."""

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.tuners.tuner import Tuner, require_whole


class Bottleneck(nn.Module):
    """Two linear layers with a ReLU between (equation 2); the second begins at zero.

    Args:
        dim: width of what it is given and gives.
        hidden: width between.
        scale: of what it gives.
    """

    def __init__(self, dim: int, hidden: int, scale: float):
        super().__init__()
        self.down = nn.Linear(dim, hidden)
        self.up = nn.Linear(hidden, dim)
        self.scale = scale
        self.begin()

    def begin(self) -> None:
        """Fill the parameters as a training begins."""
        nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
        for parameter in (self.down.bias, *self.up.parameters()):
            nn.init.zeros_(parameter)

    def add(self, feed_forward: nn.Module, given: tuple, result: Tensor) -> Tensor:
        """Be the forward hook of a feed-forward layer."""
        return result + self.scale * self.up(F.relu(self.down(given[0])))


@MODELS.register_module()
class AdaptFormer(Tuner):
    """Adds a bottleneck to each feed-forward layer, of what that layer is given, the normed tokens.

    It is within the block's branch: stochastic depth drops it with the layer, and where a backbone
    scales the branch (DINOv2) it is scaled, too.

    Args:
        staged: config of the source model's backbone.
        hidden: width of a bottleneck.
        scale: of what it adds.

    Raises:
        ValueError: the backbone's blocks have no feed-forward layer of linear layers.
        NotImplementedError: the backbone does not say which blocks a stage has.
    """

    def __init__(self, staged: dict, hidden: int = 64, scale: float = 0.1):
        require_whole(hidden=hidden)
        super().__init__(staged)
        self.bottlenecks = nn.ModuleList()
        for stage in range(len(self.staged.widths)):
            for layer in self.staged.layers(stage):
                feed_forward = _feed_forward(layer)
                linear = next((m for m in feed_forward.modules() if isinstance(m, nn.Linear)), None)
                if linear is None:
                    raise ValueError(f'{type(layer).__name__} has no linear feed-forward layer')
                bottleneck = Bottleneck(linear.in_features, hidden, scale)
                feed_forward.register_forward_hook(bottleneck.add)
                self.bottlenecks.append(bottleneck)

    def init_weights(self) -> None:
        """Initialise the backbone, and begin at the source model."""
        super().init_weights()
        for bottleneck in self.bottlenecks:
            bottleneck.begin()


def _feed_forward(layer: nn.Module) -> nn.Module:
    """Return what takes the normed tokens, in a block of mmseg's Swin or of any other."""
    if hasattr(layer, 'ffn'):
        return layer.ffn.layers
    return getattr(layer, 'mlp', nn.Identity())
