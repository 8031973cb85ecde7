"""The demo's chain: the project's own commands, one stage after the other.

Nothing here trains or scores: each stage is a command that a user could type. A stage that is
done is not done again; a training that was interrupted is resumed.
"""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmseg_uvpt.demo.backbones import BACKBONES, PRETRAINED
from mmseg_uvpt.engine.work_folder.claim import CONFIG, last_checkpoint
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import read_object, write_json
from mmseg_uvpt.shipped import CHECKOUT

PROMPTS = 'Prompts'  # the method's tuner
TUNERS = (
    *(PROMPTS, 'Head', 'All', 'Norm', 'Bias', 'Statistics', 'TokenPrompts', 'PixelPrompt', 'LoRA'),
    *('AdaptFormer', 'Rein'),
)

UNFIT = {  # backbones of the demo that a tuner does not fit
    'TokenPrompts': ('convnext', 'pvt', 'swinv2', 'efficientnet-lite0'),
    'LoRA': ('convnext', 'swinv2', 'efficientnet-lite0'),
    'AdaptFormer': ('convnext', 'efficientnet-lite0'),
}

Command = tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """What a demo run is made with; the recipe itself stands in configs/demo.

    Attributes:
        seed: of the rendered data and of both trainings.
        backbone: one of `BACKBONES`.
        train_frames: frames of each training set.
        val_frames: labelled target frames for the score.
        tuner: of the adaptation, one of `TUNERS`.
        source: how the source model is pretrained: ``'sss'`` (standard single source) or ``'gta'``
            (generalise-then-adapt).
        iterations: of both trainings, for a quick look; None for the recipe's.
    """

    seed: int = 0
    backbone: str = 'efficientnet-lite0'
    train_frames: int = 240
    val_frames: int = 60
    tuner: str = PROMPTS
    source: str = 'sss'
    iterations: int | None = None


@dataclass(frozen=True)
class Stage:
    """A step of the demo.

    Attributes:
        name: names the step in the summary.
        title: says to the person who waits what it does.
        commands: arguments of Python, a tuple a command.
        training: the work folder if the stage is a training.
    """

    name: str
    title: str
    commands: tuple[Command, ...]
    training: Path | None = None


def stages(settings: Settings, root: Path) -> Iterator[Stage]:
    """Yield the stages in their order; run each before asking for the next.

    Args:
        settings: of the run.
        root: the run's folder.

    Raises:
        UserError: the backbone has no config for this kind of source model.
    """
    data = root / 'data'
    pseudo_labels = data / 'cityscapes/pretrain/demo/train'
    model = BACKBONES[settings.backbone]
    pretraining = {'sss': 'pretrain', 'gta': 'pretrain-gta'}[settings.source]
    pretrain = f'configs/demo/{pretraining}_{model}.py'
    adapt = f'configs/demo/uni-uvpt_{model}.py'
    if not (CHECKOUT / pretrain).is_file():
        raise UserError(
            f'--source {settings.source} does not go with --backbone {settings.backbone}: there is '
            f'no {pretrain}. Take --backbone swin, or --source sss.'
        )
    if settings.backbone in UNFIT.get(settings.tuner, ()):
        raise UserError(
            f'--tuner {settings.tuner} does not fit --backbone {settings.backbone} '
            '(docs/tuning.md). Take --backbone swin.'
        )
    place = ('--data-root', str(data))
    training = (*place, '--seed', str(settings.seed))
    short = [f'train_cfg.max_iters={settings.iterations}'] if settings.iterations else []
    begin = list(short)

    if settings.backbone in PRETRAINED:
        weights = root / 'imagenet.safetensors'
        begin.append(f'model.backbone.init_cfg.checkpoint={weights}')
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
    source = str(last_checkpoint(root / 'pretrain'))
    yield Stage(
        'test_source',
        'scoring the source model on the photographic look',
        (_test(pretrain, source, root / 'source-only', place),),
    )
    yield Stage(
        'pseudo_labels',
        'labelling the photographic training frames with the source model',
        (
            (
                *('generate_pseudo_label.py', '--config', adapt, '--checkpoint', source, *place),
                *('--pseudo_label_dir', str(pseudo_labels)),
            ),
        ),
    )
    adapted = adapted_folder(settings, root)
    tuned = [] if settings.tuner == PROMPTS else [f'model.tuner.type={settings.tuner}']
    # to say what the correction gains, never to train on
    truth = 'default_hooks.label_correction.truth_dir=data/cityscapes/gtFine/train'
    yield Stage(
        adapted.name,
        f'adapting to the photographic look without labels by {settings.tuner}',
        (
            (
                *('train.py', adapt, '--work-dir', str(adapted), '--source-checkpoint', source),
                *('--pseudo-label-dir', str(pseudo_labels), *training),
                *_changes([*short, *tuned, truth]),
            ),
        ),
        adapted,
    )
    yield Stage(
        f'test_{adapted.name}',
        'scoring the adapted model',
        (_test(adapt, str(last_checkpoint(adapted)), adapted, (*place, *_changes(tuned))),),
    )


def stage_count(settings: Settings) -> int:
    """Return how many stages `stages` yields."""
    return 7 + (settings.source == 'gta') + (settings.backbone in PRETRAINED)


def adapted_folder(settings: Settings, root: Path) -> Path:
    """Return the work folder of the adaptation."""
    return root / ('adapt' if settings.tuner == PROMPTS else f'adapt-{settings.tuner.lower()}')


def _changes(entries: list[str]) -> Command:
    return ('--cfg-options', *entries) if entries else ()


def _test(config: str, checkpoint: str, folder: Path, place: Command) -> Command:
    return (
        *('test.py', config, checkpoint, '--eval', 'mIoU', *place),
        *('--work-dir', str(folder / 'test'), '--out', str(folder / 'score.json')),
        *('--show-dir', str(folder / 'predictions')),
    )


def run(stage: Stage, root: Path, position: str) -> float:
    """Run a stage unless it is done.

    Args:
        stage: to run.
        root: the demo run's folder; ``done/<stage>.json`` in it says that a stage is done.
        position: such as ``3/7``, for the person who waits.

    Returns:
        float: seconds the stage took, now or when it was done.

    Raises:
        UserError: a command failed, or what is done was done by other commands.
    """
    record = root / 'done' / f'{stage.name}.json'
    commands = [list(command) for command in stage.commands]
    if os.path.lexists(record):
        done = read_object(record, 'delete it, and the stage is done again')
        if done.get('commands') != commands:
            raise UserError(
                f'{root} holds a demo of other settings: its stage "{stage.name}" was made by '
                f'other commands, see {record}. Choose another --work-dir, or delete the folder.'
            )
        print(f'[{position}] {stage.title}: done before', flush=True)
        if type(done.get('seconds')) not in (int, float):
            raise UserError(f'{record} holds no seconds: delete it, and the stage is done again')
        return done['seconds']
    print(f'[{position}] {stage.title}', flush=True)
    begin = time.monotonic()
    for command in commands:
        if stage.training and (stage.training / CONFIG).is_file():
            command = [*command, '--resume']
        print(f'$ python {shlex.join(command)}', flush=True)
        status = subprocess.run([sys.executable, *command], cwd=CHECKOUT).returncode
        if status:
            raise UserError(
                f'the demo stopped at "{stage.title}" (exit status {status}, see above). '
                'Run the same command again to go on from here.'
            )
    seconds = round(time.monotonic() - begin, 1)
    write_json(record, {'commands': commands, 'seconds': seconds})
    return seconds
