"""The config of an adaptation to a folder of photographs, as a file that ``train.py`` takes."""

from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.adapting import BEST
from mmseg_uvpt.adapting.adaptation_plan import Plan
from mmseg_uvpt.adapting.labelled import Labelled, file_suffixes, truth_of
from mmseg_uvpt.adapting.photographs import MOST_ELONGATED, Survey
from mmseg_uvpt.datasets.layouts import CITYSCAPES
from mmseg_uvpt.files import write_text
from mmseg_uvpt.importing.config_files import adapted_model, config_text
from mmseg_uvpt.importing.source_model import SourceModel
from mmseg_uvpt.shipped import shipped

ADAPTATION, LIST, LABELLED_LIST = 'adaptation.py', 'photographs.txt', 'labelled.txt'
LABELS = 'labels'  # pseudo labels
_LOAD = {'type': 'LoadImageFromFile', '_scope_': 'mmseg_uvpt'}
_PACK = {'type': 'PackSegInputs'}


def write_config(
    folder: Path,
    source: SourceModel,
    checkpoint: Path,
    plan: Plan,
    found: Survey,
    labelled: Labelled | None,
) -> None:
    """Write ``adaptation.py`` and the lists of photographs that it names.

    Args:
        folder: to write to.
        source: the model.
        checkpoint: its file.
        plan: how it is adapted.
        found: the photographs.
        labelled: those to score with; None for none.
    """
    names = {LIST: found.used, **({LABELLED_LIST: labelled.names} if labelled else {})}
    for file, lines in names.items():
        write_text(folder / file, ''.join(f'{line}\n' for line in lines))
    entries = _entries(folder.resolve(), source, checkpoint.resolve(), plan, found, labelled)
    bases = ['datasets/cityscapes_adaptation.py', 'schedules/adapt_80k.py']
    title = f'Adaptation to the photographs in {str(found.folder)!r}, by uvpt adapt.'
    text = config_text(title, bases, entries, source, folder)
    write_text(folder / ADAPTATION, text)


def _entries(
    folder: Path,
    source: SourceModel,
    checkpoint: Path,
    plan: Plan,
    found: Survey,
    labelled: Labelled | None,
) -> dict:
    resize = {'type': 'Resize', 'scale': plan.size, 'keep_ratio': True}
    seen = [_LOAD, resize, _PACK]
    known = all(name.endswith(CITYSCAPES.image_suffix) for name in found.used)
    suffixes = (CITYSCAPES.image_suffix,) if known else file_suffixes(found.used)
    photographs = _data_set(found.folder, '.', folder / LIST, suffixes)
    tested, pipeline = photographs, seen
    if labelled:
        tested = _data_set(
            labelled.root, labelled.images, folder / LABELLED_LIST, labelled.image_suffixes
        )
        tested['data_prefix']['seg_map_path'] = labelled.labels
        tested['seg_map_suffix'] = labelled.label_suffix
        pipeline = [_LOAD, resize, {'type': 'LoadLabelChecked'}, _PACK]
    loader = {'num_workers': plan.workers, 'persistent_workers': plan.workers > 0}
    test = {'batch_size': 1, **loader, 'dataset': {**tested, 'pipeline': pipeline}}
    truth = labelled and truth_of(found.used, found.folder, labelled)
    method, crops, hooks = _method(plan, folder, truth)
    train = {**photographs, 'pipeline': crops}
    return {
        'model': {**adapted_model(source, checkpoint), **method},
        'train_dataloader': {'batch_size': plan.batch_size, **loader, 'dataset': train},
        'target_train_dataloader': {**loader, 'dataset': {**photographs, 'pipeline': seen}},
        'val_dataloader': test,
        'test_dataloader': test,
        'test_pipeline': pipeline,
        'tta_pipeline': _views(plan, labelled is not None),
        'optim_wrapper': {'optimizer': {'lr': plan.learning_rate}},
        'train_cfg': {'max_iters': plan.iterations, 'val_interval': plan.interval},
        'default_hooks': {
            'checkpoint': {'interval': plan.interval, 'save_best': None},
            'logger': {'interval': max(1, min(50, plan.iterations // 24))},
            'selection': {'select': 'guarded'},
            **hooks,
        },
        'uvpt': {'amp': plan.precision == 'bfloat16', 'report': False},  # the last step writes it
    }


def _method(plan: Plan, folder: Path, truth: Path | None) -> tuple[dict, list[dict], dict]:
    """Return a method's own part of the model, the pipeline of its training, and its hooks.

    A label correction says what it gains by ``truth``, label maps of the photographs.
    """
    name = 'methods' if plan.method == BEST else 'datasets/cityscapes_adaptation'
    base = Config.fromfile(shipped(f'configs/_base_/{name}.py')).to_dict()
    if plan.method == BEST:
        crops = base['best_looks']
        method, hooks = {**base['best'], 'momentum': plan.momentum}, base['best_hooks']
    else:
        crops, method = base['train_dataloader']['dataset']['pipeline'], {}
        correction = {
            'pseudo_label_dir': str(folder / LABELS),
            'interval': plan.correction_interval,
            'queue_length': plan.queue_length,
            'truth_dir': truth and str(truth.resolve()),
        }
        hooks = {'label_correction': correction}
    side = min(plan.size)  # however elongated, so that each photograph has room for a crop
    changed = {
        'Resize': {'scale': (MOST_ELONGATED * side, side)},
        'CropWithBox': {'crop_size': plan.crop},
    }
    return method, [step | changed.get(step['type'], {}) for step in crops], hooks


def _data_set(root: Path, images: str, names: Path, suffixes: tuple[str, ...]) -> dict:
    return {
        'data_root': str(root.resolve()),
        'data_prefix': {'img_path': images},
        'ann_file': str(names),
        'img_suffix': suffixes,
    }


def _views(plan: Plan, has_labels: bool) -> list[dict]:
    """Return the pipeline of predictions over sizes and flips: 0.75 to 1.25 times that of tests."""
    scales = [tuple(round(side * f) for side in plan.size) for f in (0.75, 1, 1.25)]
    resizes = [{'type': 'Resize', 'scale': scale, 'keep_ratio': True} for scale in scales]
    flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (0.0, 1.0)]
    labels = [[{'type': 'LoadLabelChecked'}]] if has_labels else []
    return [
        {'type': 'LoadImageChecked'},
        {'type': 'TestTimeAug', 'transforms': [resizes, flips, *labels, [_PACK]]},
    ]
