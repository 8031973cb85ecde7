"""Low-rank adaptation (LoRA; Hu et al., ICLR 2022), by the library peft."""

import re
from collections.abc import Iterator

from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_uvpt.models.tuners.tuner import Tuner

ATTENTION = ('qkv', 'q', 'kv', 'q_proj', 'k_proj', 'v_proj')
# peft puts its layers around those of the backbone; in files they lie beside it
_BASE = re.compile(r'^staged\.(.+)\.base_layer\.(weight|bias)$'), r'staged.\1.\2'
_OWN = re.compile(r'^staged\.(.+)\.lora_([AB])\.default\.weight$'), r'lora.\1.\2'
_IN_FILE = re.compile(r'^lora\.(.+)\.([AB])$'), r'staged.\1.lora_\2.default.weight'


@MODELS.register_module()
class LoRA(Tuner):
    """Adds a product of two low-rank matrices to linear layers of the backbone.

    Args:
        staged: config of the source model's backbone.
        rank: of the matrices.
        alpha: their product is multiplied by ``alpha / rank``.
        layers: what those linear layers are called, without where they lie; by default the
            projections of attention to queries, keys and values.

    Raises:
        ImportError: peft is not installed.
        ValueError: the backbone has no linear layer of these names.
    """

    needs_stages = False

    def __init__(
        self, staged: dict, rank: int = 16, alpha: float = 16, layers: tuple[str, ...] = ATTENTION
    ):
        super().__init__(staged)
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise ImportError("LoRA needs peft: pip install 'mmseg-uvpt[lora]'") from error
        targets = list(_linear_layers(self.staged, tuple(layers)))
        if not targets:
            raise ValueError(
                f'{type(self.staged).__name__} has no linear layer called {" or ".join(layers)} '
                'that a matrix can be added to; name others with layers, such as (fc1,fc2)'
            )
        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)
        self.staged = inject_adapter_in_model(config, self.staged)
        self._of_base = {f'staged.{target}' for target in targets}
        self._register_state_dict_hook(_to_file)
        self._register_load_state_dict_pre_hook(self._from_file)

    def is_added(self, name: str) -> bool:
        """Tell whether a parameter of the tuner is none of the source model's."""
        return '.lora_' in name

    def init_weights(self) -> None:
        """Initialise the backbone, and begin at the source model."""
        super().init_weights()
        for module in self.staged.modules():
            if hasattr(module, 'reset_lora_parameters'):
                module.reset_lora_parameters('default', init_lora_weights=True)

    def _from_file(self, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
        for name in [name for name in state_dict if name.startswith(prefix)]:
            inner = name.removeprefix(prefix)
            layer, _, last = inner.rpartition('.')
            inner = f'{layer}.base_layer.{last}' if layer in self._of_base else inner
            state_dict[prefix + _IN_FILE[0].sub(_IN_FILE[1], inner)] = state_dict.pop(name)


def _to_file(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, _: dict) -> None:
    """Name the tensors as the source model does, and peft's beside it, in the same order."""
    for name in list(state_dict):
        tensor = state_dict.pop(name)
        if name.startswith(prefix):
            inner = name.removeprefix(prefix)
            for pattern, replacement in (_BASE, _OWN):
                inner = pattern.sub(replacement, inner)
            name = prefix + inner
        state_dict[name] = tensor


def _linear_layers(backbone: nn.Module, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the linear layers of some names; not those of which attention reads the weight."""
    for name, parent in backbone.named_modules():
        reads = (
            isinstance(parent, nn.MultiheadAttention) or getattr(parent, 'q_bias', None) is not None
        )
        if not reads:
            for child, module in parent.named_children():
                if child in names and isinstance(module, nn.Linear):
                    yield f'{name}.{child}'
