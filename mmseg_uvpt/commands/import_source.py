"""Make a source model of somebody else's: of mmseg, or a folder of transformers."""

import argparse
from pathlib import Path

from mmseg_uvpt.engine.scripts import options
from mmseg_uvpt.subcommands import typed_command

EXAMPLE = """\
  python tools/import_source.py segformer_mit-b5.pth --config segformer_mit-b5.py --out mine
  python tools/import_source.py models/segformer-b5-finetuned-cityscapes --out mine

FILE is a checkpoint of an EncoderDecoder of mmseg, any head, any version; without --config, the
text of the config within it is read and not run. FOLDER is one of transformers: a SegFormer, or a
UPerNet on Swin or ConvNeXt. Written are <name>.pth, <name>.py, which predicts with it, and
<name>_to-cityscapes.py, which adapts it (<name>_adaptation.py with other classes)."""


def parse_arguments() -> argparse.Namespace:
    parser = options.make_parser(
        'Write one checkpoint and the configs of a source model from another program, and score it '
        'where there are labels. No code in a checkpoint is ever run.',
        EXAMPLE,
    )
    parser.add_argument('model', type=Path, metavar='FILE_OR_FOLDER', help='what to import')
    parser.add_argument('--config', type=Path, metavar='FILE.py', help='config of mmseg')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='folder to write to')
    parser.add_argument('--data-root', metavar='DIR', help=f'score it there: {options.DATA_ROOT}')
    parser.add_argument('--force', action='store_true', help='replace files that exist')
    return parser.parse_args()


def main() -> None:
    """Import the model, say what it is, and score it."""
    args = parse_arguments()

    from mmseg_uvpt.adapting.named_model import config_of  # after --help: takes seconds
    from mmseg_uvpt.importing.config_files import Files, write
    from mmseg_uvpt.importing.read import read
    from mmseg_uvpt.importing.source_model import build

    source = read(args.model, args.config and config_of(str(args.config)))
    files = Files.of(source, args.out)
    files.refuse_to_replace([args.model, *([args.config] if args.config else [])], args.force)
    model = build(source)
    write(source, model, files)
    print(source.summary(), flush=True)
    for path in files:
        print(f'{"written":11}{path}')
    root = ['--data-root', args.data_root] if args.data_root else []
    score = ['test.py', str(files.source), str(files.checkpoint), *root]
    scored = args.data_root and _score(score[1:], args.data_root, files)
    print('next:')
    for step in _steps(files, root, [] if scored else score):
        print(f'  {typed_command(step[0], step[1:])}')


def _score(arguments: list[str], root: str, files: tuple) -> bool:
    """Score the model as ``test.py`` does; tell whether there are labels to do it with."""
    from mmseg_uvpt.engine.config.data_root import DataRoot
    from mmseg_uvpt.engine.scripts import test

    labels = Path(DataRoot.at(root).cityscapes, 'gtFine/val')
    if not next(labels.rglob('*_labelTrainIds.png'), None):
        print(f'{"not scored":11}no *_labelTrainIds.png in {labels}')
        return False
    test.main([*arguments, '--work-dir', str(files.source.with_suffix(''))])
    return True


def _steps(files: tuple, root: list[str], score: list[str]) -> list[list[str]]:
    """Return the commands that follow."""
    from mmseg_uvpt.engine.config.data_root import DataRoot

    labels = str(Path(DataRoot.at(root[1] if root else 'data').cityscapes, files.labels))
    model = ['--config', str(files.source), '--checkpoint', str(files.checkpoint)]
    steps = [
        ['generate_pseudo_label.py', *model, '--pseudo_label_dir', labels, *root],
        ['train.py', str(files.adaptation), *root],
    ]
    return [score, *steps] if score else steps
