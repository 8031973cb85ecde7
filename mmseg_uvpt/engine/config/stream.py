"""A config of adaptation made one of a stream: its test images, one after the other, once."""

import copy
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_uvpt.engine.config.data_root import CITYSCAPES
from mmseg_uvpt.engine.config.pipelines import without_labels
from mmseg_uvpt.engine.config.required import require_folder, require_parts
from mmseg_uvpt.engine.config.training_labels import needs_labels
from mmseg_uvpt.engine.work_folder.claim import CONFIG
from mmseg_uvpt.errors import UserError

MOMENTUM = 0.1  # of torch's batch norms
ANEW = 'a stream cannot go on, begin it anew in another --work-dir'
UNUSED = ('label_correction', 'selection', 'renewal')  # these look at images before their turn


def make_stream(cfg: Config, roots: Sequence[str] = (), reset: bool = False) -> None:
    """Have a training go once through the test images in order, and predict each before it.

    Batches are of one whole image as the test pipeline loads it, and the learning rate is
    constant: a stream does not know its end. `AdaBN` without a momentum gets one, as the mean of
    all batches would begin at nothing.

    Args:
        cfg: resolved config of an adaptation by a method without labels; changed in place.
        roots: of each domain, in the order of the stream, the folder of the test data set, or one
            that holds it under the name that the config gives it; by default the config's.
        reset: of `StreamHook`.

    Raises:
        UserError: the method needs labels; a domain is missing or has no images; the work folder
            holds a run.
    """
    from mmseg.registry import DATASETS, MODELS

    from mmseg_uvpt.methods.adabn import AdaBN
    from mmseg_uvpt.registry import is_a

    if (Path(cfg.work_dir) / CONFIG).is_file():
        raise UserError(f'work folder {cfg.work_dir} holds a run: {ANEW}')
    if needs_labels(cfg):
        raise UserError(
            f'{cfg.model.type} trains on pseudo labels, which a stream does not have: take a '
            'config of another method (docs/methods.md)'
        )
    if is_a(MODELS, cfg.model, AdaBN) and cfg.model.get('momentum') is None:
        cfg.model.momentum = MOMENTUM
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    require_parts(cfg, 'test_dataloader')
    described = cfg.test_dataloader.dataset.to_dict()
    known = (Path(described['data_root']).name, CITYSCAPES)
    roots = [_data_set_at(root, known) for root in roots] or [described['data_root']]
    unlabelled = without_labels(described['pipeline'])
    domains, lengths = [], []
    for root in roots:
        require_folder(root, 'data root', 'name that of each domain with --domains')
        domain = described | {'data_root': root, 'pipeline': unlabelled}
        dataset = DATASETS.build(copy.deepcopy(domain))
        if not len(dataset):
            raise UserError(f'{root}: no image there to predict')
        labels = dataset.data_prefix.get('seg_map_path')
        if labels and Path(labels).is_dir():  # without them it is not scored
            domain['pipeline'] = described['pipeline']
        domains.append(copy.deepcopy(domain))
        lengths.append(len(dataset))
    cfg.train_dataloader = {
        'batch_size': 1,
        'num_workers': cfg.test_dataloader.get('num_workers', 0),
        'sampler': {'type': 'InfiniteSampler', 'shuffle': False},
        'dataset': {'type': 'ConcatDataset', 'datasets': domains},
    }
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = sum(lengths)
    cfg.param_scheduler = None
    unused = {f'default_hooks.{name}': None for name in UNUSED}
    cfg.merge_from_dict({**unused, 'default_hooks.checkpoint.interval': sum(lengths)})
    hook = {'type': 'StreamHook', 'domains': roots, 'reset': reset}
    hook['out_json'] = str(Path(cfg.work_dir) / 'stream.json')
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def is_stream(cfg: Config) -> bool:
    """Tell whether `make_stream` made a config."""
    return any(hook['type'] == 'StreamHook' for hook in cfg.get('custom_hooks') or ())


def _data_set_at(root: str, names: Sequence[str]) -> str:
    """Return the folder of a data set: one below ``root`` that has one of its names, or that."""
    below = (Path(root, name) for name in names)
    return str(next((folder for folder in below if folder.is_dir()), root))
