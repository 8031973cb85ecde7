"""Scripts and tools as subcommands of ``uvpt``: which is which, and how a process calls one.

A checkout has them as files, which its documentation names; an installed wheel has ``uvpt`` alone.
"""

import re
import shlex
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import NamedTuple

from mmseg_uvpt.shipped import INSTALLED, shipped

PROGRAM = 'uvpt'


class Subcommand(NamedTuple):
    """A script of a checkout.

    Args:
        script: its file, from the top of the checkout.
        module: whose function ``main`` it calls.
        about: what it does, for the list of all.
        arguments: of ``main``.
    """

    script: str
    module: str
    about: str
    arguments: tuple[str, ...] = ()

    def run(self) -> int | None:
        """Run it with the arguments of the process; return its exit status."""
        return import_module(self.module).main(*self.arguments)


def _script(file: str, about: str) -> Subcommand:
    return Subcommand(f'{file}.py', f'mmseg_uvpt.engine.scripts.{file}', about)


def _tool(file: str, about: str) -> Subcommand:
    return Subcommand(f'tools/{file}.py', f'mmseg_uvpt.commands.{file}', about)


def _launcher(stage: str, about: str) -> Subcommand:
    return Subcommand(f'launcher_{stage}.py', 'mmseg_uvpt.sweep.cli', about, (stage, about))


def _converter(name: str, title: str, which: str = '') -> Subcommand:
    about = f'Convert the labels of {title} to train ids, and count the pixels of each class.'
    if which:
        about = f'Convert the labels of {title} ({which}) to train ids, and count them.'
    module = 'mmseg_uvpt.datasets.conversion.command_line'
    return Subcommand(f'tools/convert_datasets/{name}.py', module, about, (name, about))


SUBCOMMANDS = {
    'adapt': _tool('adapt', 'Adapt a model to a folder of photographs, and say whether it helped.'),
    'pretrain': _script('pretrain', 'Train a source model.'),
    'label': _script('generate_pseudo_label', 'Label the target by a source model.'),
    'train': _script('train', 'Adapt a source model to the target.'),
    'test': _script('test', 'Score a model.'),
    'report': _tool('report', 'Write a page on one run or several.'),
    'predict': _tool('predict', 'Predict photographs.'),
    'convert cityscapes': _converter('cityscapes', 'Cityscapes', 'labelIds, else polygons'),
    'convert gta': _converter('gta', 'GTA'),
    'convert synthia': _converter('synthia', 'SYNTHIA'),
    'convert urbansyn': _converter('urbansyn', 'UrbanSyn'),
    'convert idd': _converter('idd', 'IDD', 'polygons'),
    'convert mapillary': _converter('mapillary', 'Mapillary Vistas', 'v1.2'),
    'convert mapillary_v2': _converter('mapillary_v2', 'Mapillary Vistas', 'v2.0'),
    'check': _tool('check_data', 'Check a data set before anybody trains with it.'),
    'import-source': _tool('import_source', "Make a source model of somebody else's."),
    'zoo': _tool('model_zoo', 'List and check the published files.'),
    'export': _tool('export_checkpoint', 'Make smaller files of a checkpoint, and join them.'),
    'export model': _tool('export_model', 'Export a model to torch.export or ONNX, also in int8.'),
    'interpolate': _tool('interpolate', 'Interpolate between source and adapted model.'),
    'stream': _tool('adapt_stream', 'Adapt at test time, once through a stream of images.'),
    'selection-report': _tool('selection_report', 'Say how well label-free criteria rank models.'),
    'launch pretrain': _launcher('pretrain', 'Train source models.'),
    'launch label': _launcher(
        'pseudo_label', "Label the target's train images with source models."
    ),
    'launch train': _launcher('train', 'Adapt source models to the target.'),
    'launch test': _launcher('test', 'Score adapted models, or with --source-only source models.'),
    'results': Subcommand(
        'tools/results_table.py',
        'mmseg_uvpt.commands.benchmark_table',
        'Make the table of what the launchers measured.',
    ),
    'demo': _tool('demo', 'Run the whole method on rendered data.'),
    'demo-data': _tool('make_demo_data', 'Render MiniCity.'),
    'leaderboard': _tool('leaderboard', 'Compare methods, tuners and ablations on MiniCity.'),
    'style-images': _tool('make_style_images', 'Paint abstract style images.'),
    'augmentations': _tool('show_augmentations', 'Draw an image under each augmentation.'),
    'imagenet-lite0': _tool('efficientnet_lite0_weights', "Write the demo's ImageNet weights."),
}


def as_typed(text: str, own: Collection[str] = ()) -> str:
    """Return a text that names scripts and pages of a checkout with what a wheel has.

    Args:
        text: an error, a help or a command.
        own: what the user typed: a file of theirs may be called as a script is.
    """
    if not INSTALLED:
        return text
    names = {each.script: name for name, each in SUBCOMMANDS.items()}
    scripts = '|'.join(map(re.escape, sorted(names, key=len, reverse=True)))

    def typed(found: re.Match) -> str:
        return found[0] if found[0] in own else f'{PROGRAM} {names[found[1]]}'

    text = re.sub(rf'(?<![\w/.-])(?:python )?({scripts})(?![\w/])', typed, text)
    pages = r'(?<![\w/.-])(?:docs|data|model)/[\w/-]+\.md\b'
    return re.sub(pages, lambda found: str(shipped(found[0])), text)


def typed_command(script: str, arguments: Sequence[str]) -> str:
    """Return the command that runs a script with arguments, which stay as they are."""
    return shlex.join([*as_typed(f'python {script}').split(), *arguments])


def module_arguments(script: str) -> list[str]:
    """Return what Python is called with to run a script of a checkout where none is there."""
    name = next(name for name, each in SUBCOMMANDS.items() if each.script == script)
    return ['-m', 'mmseg_uvpt', *name.split()]
