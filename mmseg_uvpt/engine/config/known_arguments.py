"""What can stand in each dict of a config: the arguments of what is built from it."""

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache

import mmengine.registry
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, _ParamScheduler
from mmengine.runner import IterBasedTrainLoop, LogProcessor, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmseg_uvpt.augmentation.prerequisites import FILES
from mmseg_uvpt.engine.config.classes import LOADERS
from mmseg_uvpt.engine.config.complete import HOOKS
from mmseg_uvpt.engine.config.uvpt import KEYS
from mmseg_uvpt.engine.inference.loop import InferenceTestLoop, InferenceValLoop
from mmseg_uvpt.engine.training.optimizer import GROUPS, PARAMWISE
from mmseg_uvpt.models.backbones.timm.timm_backbone import TimmBackbone
from mmseg_uvpt.registry import REGISTRIES

_ALWAYS = frozenset({'type', '_scope_', '_delete_'})
_LOADER = {'num_batch_per_epoch', 'disable_subprocess_warning'}
# dicts without a type, by the end of their keys; what is named by nothing is no argument either
_PLAIN: dict[str, set[str] | Callable] = {
    'model.test_cfg': {'mode', 'crop_size', 'stride', 'temperature'},
    **dict.fromkeys(LOADERS, DataLoader),
    'train_cfg': IterBasedTrainLoop,
    'val_cfg': InferenceValLoop,
    'test_cfg': InferenceTestLoop,
    'optim_wrapper': OptimWrapper,
    'optim_wrapper.clip_grad': {
        *('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value')
    },
    'paramwise_cfg.lr_mult': set(GROUPS),
    'log_processor': LogProcessor,
    'randomness': Runner.set_randomness,
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'custom_imports': {'imports', 'allow_failed_imports'},
    'dataset.data_prefix': {'img_path', 'seg_map_path'},
    'metainfo': {'classes', 'palette'},
    'dataset.metainfo': {'classes', 'palette'},
    'data_preprocessor.weights': {part for parts in FILES.values() for part in parts},
    'uvpt': set(KEYS),
}
_MMENGINE_PARAMWISE = {
    *('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'flat_decay_mult'),
    *('dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate'),
}


def arguments_of(node: dict, parts: Sequence[str]) -> tuple[set[str], bool]:
    """Return what may stand in a dict of a config, and whether other names may, too.

    Args:
        node: the dict, with its ``type`` if it has one.
        parts: of its dotted key.
    """
    names, others = _plain('.'.join(parts))
    kinds = types_called(node.get('type')) if parts[-1] != 'clip_grad' else []
    if kinds:
        found = [_arguments(kind) for kind in kinds]
        names = set().union(*(arguments for arguments, _ in found))
        others = any(is_open for _, is_open in found)
    if parts[-1].endswith('norm_cfg'):
        names = names | {'requires_grad'}  # mmcv's, of any norm
    if parts == ['optim_wrapper']:
        names = names | {'optimizer', 'constructor', 'paramwise_cfg'}
    elif parts[-1].endswith('dataloader'):
        names = names | _LOADER
    return names | _ALWAYS, others


def _plain(key: str) -> tuple[set[str], bool]:
    if key == 'default_hooks':
        return {*HOOKS, 'label_correction', 'selection'}, True
    if key == 'optim_wrapper.paramwise_cfg':
        return {*_MMENGINE_PARAMWISE, *PARAMWISE}, False
    for end, what in _PLAIN.items():
        # `train_cfg` is the top's, not the model's
        if key == end or ('.' in end and key.endswith(f'.{end}')):
            return (what, False) if isinstance(what, set) else _arguments(what)
    return set(), True


def types_called(name: object) -> list[Callable]:
    """Return what is registered under a name; none where it is no name of anything."""
    if callable(name):
        return [name]
    if not isinstance(name, str):
        return []
    if '.' in name:  # it has a scope, or says where to import it from
        found = [registry.get(name) for registry in REGISTRIES]
    else:  # `get` tries to import a module of this name, a hundred times slower
        for registry in REGISTRIES:
            registry.import_from_location()
        found = [registry.module_dict.get(name) for registry in REGISTRIES]
    return list(dict.fromkeys(kind for kind in found if callable(kind)))


def names_of_types() -> set[str]:
    """Return all names that ``type`` can have."""
    return {name for registry in REGISTRIES for name in registry.module_dict}


@lru_cache
def _arguments(kind: Callable) -> tuple[set[str], bool]:
    """Return the names of a class's or function's arguments; True if it takes any others."""
    makers = [kind]
    if isinstance(kind, type):
        makers = [base.__init__ for base in kind.__mro__ if '__init__' in vars(base)]
    names, is_open = set(), False
    for maker in makers:
        if maker in (nn.Module.__init__, object.__init__):
            break  # a class that takes any arguments, and hands them to no base, has a use for them
        parameters = inspect.signature(maker).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        is_open = any(p.kind == p.VAR_KEYWORD for p in parameters)
        if not is_open or maker is TimmBackbone.__init__:  # which hands the others to timm
            break
    if isinstance(kind, type) and issubclass(kind, Hook):
        names.add('priority')
    if isinstance(kind, type) and issubclass(kind, _ParamScheduler):
        names.add('convert_to_iter_based')
    if kind in mmengine.registry.WEIGHT_INITIALIZERS.module_dict.values():
        names.add('override')
    return names - {'self'}, is_open
