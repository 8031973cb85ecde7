"""Make smaller files of a checkpoint, and put an adapted model together again."""

import argparse
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser

EXAMPLE = """\
example: publish an adaptation as a file to be used with its source model
  python tools/export_checkpoint.py split work_dirs/adapted/iter_80000.pth \\
      model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth prompts.safetensors
  python tools/export_checkpoint.py join prompts.safetensors \\
      model/pretrained_models/SSS_Swin-B_GTAV_Cityscapes_50.5.pth adapted.pth
or as one that stands alone:
  python tools/export_checkpoint.py strip work_dirs/adapted/iter_80000.pth adapted.safetensors

OUT ends in .pth or .safetensors; all scripts read both. Files may have released or our names."""

COMMANDS = {
    'strip': (
        ('checkpoint',),
        'write weights and meta only: no optimiser, no label correction, no log',
    ),
    'split': (
        ('adapted', 'source'),
        'write what an adapted model has beside its source model: prompts, head, scale weights',
    ),
    'join': (
        ('small', 'source'),
        'undo split: write the whole adapted model, bit for bit what strip makes of it',
    ),
}


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description='Make smaller files of a checkpoint: without what only training needs, or '
        'without the source model, which `join` adds again. No code in a file is ever run. '
        'tools/export_model.py makes one that runs without this project.',
        epilog=EXAMPLE,
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, (inputs, text) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f'{text[0].upper()}{text[1:]}.',
            epilog=EXAMPLE,
        )
        for given in inputs:
            command.add_argument(given, type=Path, metavar=given.upper(), help='file to read')
        command.add_argument(
            'out', type=Path, metavar='OUT', help='file to write, .pth or .safetensors'
        )
        command.add_argument('--force', action='store_true', help='replace OUT if it exists')
    return parser.parse_args()


def main() -> None:
    """Make the file and say how large it is."""
    args = parse_arguments()
    inputs = [getattr(args, given) for given in COMMANDS[args.command][0]]

    from mmseg_uvpt.checkpoints import export
    from mmseg_uvpt.checkpoints.reading import SUFFIXES, write_file
    from mmseg_uvpt.files import refuse_to_replace

    refuse_to_replace(args.out, inputs, args.force, SUFFIXES)
    write_file(getattr(export, args.command)(*inputs), args.out)
    for path in (*inputs, args.out):
        print(f'{"written" if path is args.out else "read":8}{_megabytes(path):>10}  {path}')


def _megabytes(path: Path) -> str:
    return f'{path.stat().st_size / 1e6:,.1f} MB'
