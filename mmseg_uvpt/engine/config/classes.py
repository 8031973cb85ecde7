"""The classes of a config: named in one place, taken from there by everything that counts them."""

import copy
from collections.abc import Iterator, Mapping, Sequence

from mmengine.config import Config

from mmseg_uvpt.datasets.named_classes import check_names, colours
from mmseg_uvpt.engine.config.training_labels import label_corrections
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.class_subsets import class_subsets
from mmseg_uvpt.nested import dict_or_empty

LOADERS = ('train_dataloader', 'target_train_dataloader', 'val_dataloader', 'test_dataloader')
_CLASSIFIER = 'decode_head.conv_seg.bias'


def name_classes(cfg: Config) -> None:
    """Let a whole config follow the classes that it names, in place.

    They stand in ``metainfo`` at its top level, ``dict(classes=..., palette=...)``, which all data
    sets get, or in the data sets themselves. Numbers of the recipe that are those of its data
    set's own classes (``num_classes`` of the head and of the label correction, ``save_best``)
    become those of the named ones; what states yet another number is left, and refused when the
    run begins. A config that names no classes stays as it is.

    Raises:
        UserError: the names or colours cannot be used; or two places name different classes.
    """
    data_sets = {
        f'{loader}.dataset': dataset
        for loader in LOADERS
        for dataset in data_sets_in(dict_or_empty(cfg.get(loader)).get('dataset'))
    }
    shared = cfg.get('metainfo')
    if shared is not None:
        if not isinstance(shared, Mapping) or 'classes' not in shared:
            raise UserError(
                'metainfo at the top level of a config is dict(classes=(...), palette=[...]), with '
                'or without the palette'
            )
        for dataset in data_sets.values():
            if 'classes' not in dict_or_empty(dataset.get('metainfo')):
                dataset['metainfo'] = {**shared, **dict_or_empty(dataset.get('metainfo'))}
    named = {n: d for n, d in data_sets.items() if 'classes' in dict_or_empty(d.get('metainfo'))}
    if not named:
        return
    found = {name: meta_of(dataset) for name, dataset in named.items()}
    for name, dataset in named.items():
        dataset['metainfo'] = {
            **dataset['metainfo'],
            'classes': list(found[name]['classes']),
            'palette': found[name]['palette'],
        }
    first = next(iter(named))
    if shared is not None:
        own = meta_of({**named[first], 'metainfo': shared})
        cfg.metainfo = {'classes': list(own['classes']), 'palette': own['palette']}
        require_same({'metainfo': own['classes'], **{n: m['classes'] for n, m in found.items()}})
    _follow(cfg, _class_of(named[first]).METAINFO.get('classes', ()), found[first]['classes'])


def data_sets_in(node: object) -> Iterator[dict]:
    """Yield the config of a data set, of each one within its wrappers."""
    if isinstance(node, list | tuple):
        for each in node:
            yield from data_sets_in(each)
    elif isinstance(node, dict):
        within = node.get('dataset') or node.get('datasets')
        if within:
            yield from data_sets_in(within)
        elif _class_of(node) is not None:
            yield node


def _class_of(dataset: Mapping) -> type | None:
    """Return the class of a data set that has classes; None of anything else."""
    from mmseg.registry import DATASETS

    from mmseg_uvpt.registry import class_of

    kind = class_of(DATASETS, dataset)
    return kind if hasattr(kind, 'get_label_map') else None


def meta_of(dataset: object) -> dict:
    """Return ``classes`` and ``palette`` of a data set's config, none of whose files are needed.

    Raises:
        UserError: the names or colours cannot be used, or the config describes no data set.
    """
    for inner in data_sets_in(dataset):
        kind = _class_of(inner)
        try:
            found = kind._load_metainfo(copy.deepcopy(inner.get('metainfo')))
            kind.get_label_map(found['classes'])  # refuses some
        except (TypeError, ValueError, KeyError) as error:  # of a data set that is not ours
            raise UserError(f'metainfo of {kind.__name__} cannot be used: {error}') from error
        palette = found.get('palette') or ()
        if len(palette) != len(found['classes']):
            palette = colours(len(found['classes']))
        return {'classes': tuple(found['classes']), 'palette': palette}
    kind = dict_or_empty(dataset).get('type')
    raise UserError(f'{kind!r} is no data set that has classes: name them in its metainfo')


def classes_of(cfg: Config) -> tuple[str, ...]:
    """Return the classes of the first data set of a config.

    Raises:
        UserError: it has none.
    """
    loader = next((cfg[name] for name in LOADERS if cfg.get(name)), {})
    return meta_of(dict_or_empty(loader).get('dataset'))['classes']


def _follow(cfg: Config, own: Sequence[str], named: Sequence[str]) -> None:
    """Replace what a recipe says of a data set's own classes by the same of the named ones."""
    head = dict_or_empty(dict_or_empty(cfg.get('model')).get('decode_head'))
    for part in (head, *label_corrections(cfg)):
        if part.get('num_classes') == len(own):
            part['num_classes'] = len(named)
    hooks = dict_or_empty(cfg.get('default_hooks'))
    for name, key in (('checkpoint', 'save_best'), ('selection', 'score')):
        hook = dict_or_empty(hooks.get(name))
        if hook.get(key) in _means(own) and hook[key] not in _means(named):
            hook[key] = 'mIoU'


def _means(classes: Sequence[str]) -> list[str]:
    return [f'mIoU{size}' for size in class_subsets(classes)]


def classes_in(checkpoint: Mapping) -> list[str] | None:
    """Return the classes that a checkpoint says it was trained for.

    Returns:
        list: None where it says nothing, or names another number than its head has.
    """
    meta = dict_or_empty(checkpoint.get('meta'))
    about = dict_or_empty(meta.get('dataset_meta'))
    for names in (about.get('classes'), about.get('CLASSES'), meta.get('CLASSES')):
        try:
            check_names(names, 'meta')
        except UserError:
            continue
        tensors = dict_or_empty(checkpoint.get('state_dict'))
        heads = {
            getattr(t, 'shape', ()) for k, t in tensors.items() if str(k).endswith(_CLASSIFIER)
        }
        return list(names) if heads <= {(len(names),)} else None
    return None


def require_same(classes: Mapping[str, Sequence[str] | None]) -> None:
    """Raise a `UserError` unless all lists of classes, by what has them, name the same in order.

    None says nothing and is not compared.
    """
    lists = {name: list(names) for name, names in classes.items() if names is not None}
    require_equal({name: len(names) for name, names in lists.items()})
    first, *others = lists
    for other in others:
        pairs = zip(lists[first], lists[other], strict=True)
        for i, (mine, theirs) in enumerate(pairs):
            if mine != theirs:
                raise UserError(
                    f'classes differ: id {i} is {mine!r} in {first} and {theirs!r} in {other}. '
                    'Make them agree in the config, or take a file that was made for these classes'
                )


def require_equal(counts: Mapping[str, int]) -> None:
    """Raise a `UserError` unless all numbers of classes, by what has them, are the same."""
    if len(set(counts.values())) > 1:
        listed = ', '.join(f'{name}: {count}' for name, count in counts.items())
        raise UserError(f'numbers of classes differ ({listed}): make them agree in the config')
