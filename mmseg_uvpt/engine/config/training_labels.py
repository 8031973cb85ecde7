"""Which labels an adaptation trains on: whether it needs any, and where pseudo labels lie."""

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.nested import everything_in, parts_of_type


def label_corrections(cfg: Config) -> list[dict]:
    """Return the hooks of a config that correct labels: `LabelCorrectionHook` or a class of it."""
    from mmseg.registry import HOOKS

    import mmseg_uvpt.register  # noqa: F401 - before mmseg's data sets, which would print otherwise
    from mmseg_uvpt.correction.hook import LabelCorrectionHook
    from mmseg_uvpt.registry import is_a

    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    return [hook for hook in hooks if is_a(HOOKS, hook, LabelCorrectionHook)]


def reads_pseudo_labels(cfg: Config) -> bool:
    """Tell whether an adaptation reads pseudo labels; without importing its classes."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or ())]
    begins_a_bank = any('pseudo_label_dir' in hook for hook in hooks if isinstance(hook, dict))
    return begins_a_bank or bool(parts_of_type(cfg.train_dataloader.dataset, 'LoadPseudoLabel'))


def needs_labels(cfg: Config) -> bool:
    """Tell whether the method of an adaptation trains on labels."""
    from mmseg.registry import MODELS

    from mmseg_uvpt.registry import class_of

    return getattr(class_of(MODELS, cfg.model), 'needs_labels', True)


def check_labels_of_method(cfg: Config) -> None:
    """Make sure that what an adaptation does with labels is what its method needs.

    Raises:
        UserError: its method needs labels and nothing loads them, or the other way round.
    """
    kind = cfg.model.type if isinstance(cfg.model.type, str) else cfg.model.type.__name__
    if needs_labels(cfg):
        if not reads_pseudo_labels(cfg):
            raise UserError(
                f'{kind} trains on pseudo labels, and nothing loads them: put '
                "dict(type='LoadPseudoLabel') behind LoadImageChecked in train_dataloader's "
                'pipeline'
            )
    elif label_corrections(cfg):
        raise UserError(
            f'{kind} trains without labels, so none can be corrected: say '
            'default_hooks=dict(label_correction=None) in its config'
        )
    elif reads_pseudo_labels(cfg):
        raise UserError(
            f"{kind} trains without labels: take LoadPseudoLabel out of train_dataloader's pipeline"
        )


def pseudo_label_dir(cfg: Config) -> str | None:
    """Return the folder of the pseudo labels of an adaptation; None: its method needs none.

    The label correction names it, for there the label bank begins. Without one the training set
    does, whose labels then stay as they are.

    Raises:
        UserError: nothing names it, or several data sets name others.
    """
    if hooks := label_corrections(cfg):
        return hooks[0]['pseudo_label_dir']
    if not reads_pseudo_labels(cfg):
        return None
    folders = {d['pseudo_label_dir'] for d in _loading(cfg) if d.get('pseudo_label_dir')}
    if len(folders) > 1:
        raise UserError(
            f'the data sets of train_dataloader name several folders of pseudo labels, '
            f'{", ".join(sorted(folders))}: put the labels below one'
        )
    if not (folder := next(iter(folders), None)):
        raise UserError(
            'without a label correction nothing names the pseudo labels: name their folder with '
            '--pseudo-label-dir DIR'
        )
    return folder


def set_pseudo_label_dir(cfg: Config, folder: str) -> None:
    """Name the folder of the pseudo labels where `pseudo_label_dir` looks, in place.

    Raises:
        UserError: nothing reads them.
    """
    if not reads_pseudo_labels(cfg):
        raise UserError(
            f'{cfg.model.type} trains without pseudo labels: leave out --pseudo-label-dir'
        )
    for described in label_corrections(cfg) or _loading(cfg):
        described['pseudo_label_dir'] = folder


def share_pseudo_labels(cfg: Config) -> None:
    """Have the training set load the pseudo labels that the label bank begins with, in place.

    Without a label correction they are what is trained on. What is added here is recorded with the
    run. A training pipeline without `LoadPseudoLabel` needs nothing.
    """
    if not (datasets := _loading(cfg)):
        return
    folder, is_corrected = pseudo_label_dir(cfg), bool(label_corrections(cfg))
    for dataset in datasets:
        dataset['pseudo_label_dir'] = folder
        if not is_corrected:
            for transform in parts_of_type(dataset, 'LoadPseudoLabel'):
                transform['trained_on'] = True


def _loading(cfg: Config) -> list[dict]:
    """Return the data sets that load pseudo labels: the training set, or those that it wraps."""
    parts = [x for x in everything_in(cfg.train_dataloader.dataset) if isinstance(x, dict)]
    return [x for x in parts if parts_of_type(x.get('pipeline'), 'LoadPseudoLabel')]
