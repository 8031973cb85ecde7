"""The chains of the demo and of the leaderboard: the project's own commands, one after the other.

Nothing here trains or scores: each stage is a command that a user could type. A stage that is
done is not done again; a training that was interrupted is resumed.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from mmengine.config import Config

from mmseg_uvpt.adapting import BEST
from mmseg_uvpt.adapting.command_stages import Command, Stage, run_each
from mmseg_uvpt.demo.backbones import PRETRAINED
from mmseg_uvpt.demo.settings import FULL, METHODS, Settings
from mmseg_uvpt.engine.config.ablation_options import ablation_options
from mmseg_uvpt.engine.config.overrides import option_of
from mmseg_uvpt.engine.config.resolve import read
from mmseg_uvpt.engine.config.training_labels import label_corrections, reads_pseudo_labels
from mmseg_uvpt.engine.work_folder.claim import best_checkpoint, last_checkpoint
from mmseg_uvpt.files import read_object
from mmseg_uvpt.selection.conclusion import CHECKPOINT, SELECTION
from mmseg_uvpt.shipped import shipped


def adapted_folder(settings: Settings) -> str:
    """Return the name of the folder of what the demo ends with."""
    return 'adapted' if settings.method == BEST else f'adapted-{settings.method}'


def demo_stages(settings: Settings, root: Path) -> Iterator[Stage]:
    """Yield the stages of ``make demo`` in their order; run each before asking for the next.

    Args:
        settings: of the run.
        root: the run's folder.

    Raises:
        UserError: the settings do not go together.
    """
    yield from _source_stages(settings, root)
    city, folder = root / 'data/cityscapes', adapted_folder(settings)
    adapting = (
        *('tools/adapt.py', str(root / 'pretrain'), str(city / 'leftImg8bit/train')),
        *('--labelled', str(city), '--out', str(root / folder), '--seed', str(settings.seed)),
    )
    if settings.method != BEST:
        adapting = (*adapting, '--method', settings.method)
    if settings.iterations:
        adapting = (*adapting, '--iterations', str(settings.iterations))
    title = 'adapting it to the photographic look, without labels'
    yield Stage(folder, title, (adapting,), shown=True)


def stages(settings: Settings, root: Path) -> Iterator[Stage]:
    """Yield the stages of a run of the leaderboard; see `demo_stages`.

    Args:
        settings: of the run.
        root: folder of all runs with this source model.

    Raises:
        UserError: the settings do not go together.
    """
    yield from _source_stages(settings, root)
    source = str(last_checkpoint(root / 'pretrain'))
    place = ('--data-root', str(root / 'data'))
    yield Stage(
        'test_source',
        'scoring the source model on the photographic look',
        (_test(settings.pretraining, source, root / 'source-only/score.json', place),),
    )
    if online := _curve_run(settings):
        yield from _adaptation(online, root)
    yield from _adaptation(settings, root)


def _source_stages(settings: Settings, root: Path) -> Iterator[Stage]:
    """Yield the stages up to the source model."""
    settings.require_fit()
    data = root / 'data'
    pretrain = settings.pretraining
    place = ('--data-root', str(data))
    training = (*place, '--seed', str(settings.seed))
    begin = settings.shortened

    if settings.backbone in PRETRAINED:
        weights = root / 'imagenet.safetensors'
        begin.append(option_of('model.backbone.init_cfg.checkpoint', str(weights)))
        yield Stage(
            'imagenet_weights',
            'writing the ImageNet weights of the backbone',
            (('tools/efficientnet_lite0_weights.py', str(weights), '--force'),),
        )
    yield Stage(
        'render',
        'rendering MiniCity in two looks',
        (
            (
                *('tools/make_demo_data.py', str(data), '--seed', str(settings.seed)),
                *('--train-frames', str(settings.train_frames)),
                *('--val-frames', str(settings.val_frames)),
            ),
        ),
    )
    yield Stage(
        'convert',
        'converting the labels of all three formats to train ids',
        tuple(
            (f'tools/convert_datasets/{name}.py', str(data / name), '--nproc', '2')
            for name in ('gta', 'synthia', 'cityscapes')
        ),
    )
    if settings.source == 'gta':
        yield Stage(
            'style_images',
            'painting style images',
            (('tools/make_style_images.py', str(data / 'style'), '--seed', str(settings.seed)),),
        )
    yield Stage(
        'pretrain',
        'training the source model on the rendered look',
        (
            (
                *('pretrain.py', pretrain, '--work-dir', str(root / 'pretrain'), *training),
                *_changes(begin),
            ),
        ),
        root / 'pretrain',
    )


def _adaptation(settings: Settings, root: Path) -> Iterator[Stage]:
    """Yield the stages from the source model, or the method before, to the score."""
    method, adapted = METHODS[settings.method], root / settings.folder
    place = ('--data-root', str(root / 'data'))
    maker, folder = settings.but(method=FULL, tuner=None), root / 'pretrain'
    if settings.former:
        maker, folder = settings.former, root / settings.former.folder
        yield from _adaptation(maker, root)
    name = settings.method if method.after or method.labelling else 'demo'
    begin = str(last_checkpoint(folder))
    labels = str(root / f'data/cityscapes/pretrain/{name}/train')
    changes = _changed(settings, root)
    given = (
        ('--pseudo-label-dir', labels) if reads_pseudo_labels(_recipe(settings.adaptation)) else ()
    )
    if _is_labelled(settings):
        yield Stage(
            'pseudo_labels' if name == 'demo' else f'pseudo_labels_{name}',
            f'labelling the photographic training frames with the model in {folder.name}',
            (
                (
                    *('generate_pseudo_label.py', '--config', maker.adaptation),
                    *('--checkpoint', begin, *place, '--pseudo_label_dir', labels),
                    *method.labelling,
                ),
            ),
        )
    yield Stage(
        adapted.name,
        f'adapting to the photographic look without labels: {settings.row}',
        (
            (
                *('train.py', settings.adaptation, '--work-dir', str(adapted)),
                *('--source-checkpoint', begin, *given, *place, '--seed', str(settings.seed)),
                *_changes([*settings.shortened, *changes, *_truth(settings, changes)]),
            ),
        ),
        adapted,
    )
    described = (*place, *_changes([c for c in changes if c.startswith('model.')]))
    yield Stage(
        f'test_{adapted.name}',
        'scoring the adapted model',
        tuple(
            _test(settings.adaptation, str(checkpoint), path, described)
            for checkpoint, path in scores(adapted).values()
        ),
    )


def scores(folder: Path) -> dict[int, tuple[Path, Path]]:
    """Return the checkpoints of a finished adaptation that count, by their iterations.

    The last one comes first; the one that scored best in an evaluation, and the one that was
    selected, follow where they are others. Of the model that it began with there is none.

    Args:
        folder: work folder of the adaptation.

    Returns:
        dict: of each the checkpoint, and the file that takes its score.
    """
    last, best = last_checkpoint(folder), best_checkpoint(folder)
    found = {_iteration(last): (last, folder / 'score.json')}
    if best:
        found.setdefault(_iteration(best), (best, folder / 'score_best.json'))
    if chosen := chosen_iterations(folder).get('selected'):
        found.setdefault(chosen, (folder / CHECKPOINT, folder / 'score_selected.json'))
    return found


def chosen_iterations(folder: Path) -> dict[str, int]:
    """Return what a finished adaptation says of its candidates: rules to the iterations they chose.

    ``'selected'`` is the one that was kept. Empty where candidates were not judged.
    """
    path = folder / SELECTION
    if not path.is_file():
        return {}
    found = read_object(path, 'delete the work folder, and run it again')
    chosen = {rule: choice['iteration'] for rule, choice in found['choices'].items()}
    return {**chosen, 'selected': found['selected']}


def _iteration(checkpoint: Path) -> int:
    return int(checkpoint.stem.rpartition('_')[2])


def run_demo(settings: Settings, root: Path) -> None:
    """Run the stages of the demo that are not done."""
    run_each(demo_stages(settings, root), root, _source_count(settings) + 1)


def _source_count(settings: Settings) -> int:
    return 3 + (settings.source == 'gta') + (settings.backbone in PRETRAINED)


def stage_count(settings: Settings) -> int:
    """Return how many stages `stages` yields."""
    count, link = _source_count(settings) + 1, settings
    while link:
        count += 2 + _is_labelled(link)
        link = link.former or _curve_run(link)
    return count


def _is_labelled(settings: Settings) -> bool:
    """Tell whether images are labelled for a method.

    The source model labels them in any case, for the other methods; for an offline correction it
    has done so when the online one ran.
    """
    if _curve_run(settings):
        return False
    return not settings.former or reads_pseudo_labels(_recipe(settings.adaptation))


def _curve_run(settings: Settings) -> Settings | None:
    """Return the settings of the online run whose curve an offline correction reads, if one is."""
    offline = 'OfflineLabelCorrectionHook' in ' '.join(_variation(settings))
    return settings.but(tuner=None, variant=None) if offline else None


def _changed(settings: Settings, root: Path) -> list[str]:
    """Return the entries in which an adaptation differs from its config."""
    changes = [f'model.tuner.type={settings.other_tuner}'] if settings.other_tuner else []
    changes += _variation(settings)
    if online := _curve_run(settings):
        record = str(root / online.folder)
        changes.append(option_of('default_hooks.label_correction.record', record))
    return changes


@cache
def _variation(settings: Settings) -> tuple[str, ...]:
    """Return the entries that make an ablation of the method."""
    if not settings.variant:
        return ()
    return tuple(ablation_options(settings.variant, _recipe(settings.adaptation)))


def _truth(settings: Settings, changes: Sequence[str]) -> list[str]:
    """Return what lets a label correction say what it gains; it never trains on the truth."""
    hooks = label_corrections(_recipe(settings.adaptation))
    if not hooks or 'default_hooks.label_correction=None' in changes:
        return []
    return ['default_hooks.label_correction.truth_dir=data/cityscapes/gtFine/train']


@cache
def _recipe(config: str) -> Config:
    return read(shipped(config), import_modules=False)


def _changes(entries: Sequence[str]) -> Command:
    return ('--cfg-options', *entries) if entries else ()


def _test(config: str, checkpoint: str, out: Path, place: Command) -> Command:
    shown = out.with_name(out.stem.replace('score', 'predictions'))
    return (
        *('test.py', config, checkpoint, '--eval', 'mIoU', *place),
        *('--work-dir', str(out.with_name('test')), '--out', str(out)),
        *('--show-dir', str(shown)),
    )
