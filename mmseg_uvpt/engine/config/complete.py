"""What a training's config leaves to be said, so that its record names all that is built."""

from mmengine.config import Config

# mmengine's hooks of every run, by its names and in its order; two of them are this project's
HOOKS = {
    'runtime_info': 'DeferredRuntimeInfoHook',
    'timer': 'IterTimerHook',
    'sampler_seed': 'DistSamplerSeedHook',
    'logger': 'LoggerHook',
    'param_scheduler': 'ParamSchedulerHook',
    'checkpoint': 'WholeCheckpointHook',
}
# mmengine's classes, which version 0.1 recorded, and those of this project that are built
_OURS = {
    'OptimWrapper': 'FiniteOptimWrapper',
    'AmpOptimWrapper': 'FiniteAmpOptimWrapper',
    'IterBasedTrainLoop': 'SeededTrainLoop',
    'CheckpointHook': 'WholeCheckpointHook',
    'RuntimeInfoHook': 'DeferredRuntimeInfoHook',
}


def complete(cfg: Config) -> None:
    """State all classes that a run builds, in place; a complete config stays as it is.

    Hooks that every run has; an optimiser that skips what is not finite; a loop with seeded
    batches; data loaders without arguments that torch refuses; a seed, without which no run could
    go on as it began.
    """
    if (cfg.get('randomness') or {}).get('seed') is None:
        cfg.merge_from_dict({'randomness.seed': 0})
    cfg.default_hooks = {n: {'type': kind} for n, kind in HOOKS.items()} | {
        **(cfg.get('default_hooks') or {})
    }
    if cfg.get('optim_wrapper'):
        cfg.optim_wrapper.setdefault('type', 'OptimWrapper')  # as mmengine's runner does
    hooks = (*cfg.default_hooks.values(), *(cfg.get('custom_hooks') or ()))
    for part in (cfg.get('optim_wrapper'), cfg.get('train_cfg'), *hooks):
        if isinstance(part, dict) and (kind := _without_scope(part.get('type'))) in _OURS:
            part['type'] = _OURS[kind]
    drop_unused(cfg)


def _without_scope(name: object) -> object:
    """Return the name of one of mmengine's classes without the scope that may stand before it."""
    return name.removeprefix('mmengine.') if isinstance(name, str) else name


def drop_unused(cfg: Config) -> None:
    """Drop what torch refuses of data loaders without workers, in place."""
    for name, loader in cfg.items():
        if name.endswith('_dataloader') and loader and loader.get('num_workers') == 0:
            loader.pop('persistent_workers', None)
            loader.pop('prefetch_factor', None)


def use_cache(cfg: Config, folder: str | None, *loaders: str) -> None:
    """Let the pipelines of the named data loaders begin with an `ImageCache`, in place.

    Raises:
        UserError: see `through_cache`.
    """
    from mmseg_uvpt.datasets.image_cache import through_cache

    for name in loaders:
        if cfg.get(name):
            cfg[name] = through_cache(cfg[name], folder)
