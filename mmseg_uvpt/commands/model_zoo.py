"""Which published files are there, and whether they are what they should be."""

import argparse
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser
from mmseg_uvpt.errors import UserError

EXAMPLE = """\
examples:
  python tools/model_zoo.py list
  python tools/model_zoo.py check
  python tools/model_zoo.py verify --only 'SSS_Swin-B_*'

The list itself is model/zoo.json. Exit status 1: a file that is there is wrong, or --only names
files of which none is there."""

COMMANDS = {
    'list': 'all published files: whether they are there, their scores and configs',
    'check': 'of those that are there, compare size and hash; hashes not known yet are printed',
    'verify': 'do as check, and compare names and shapes of the tensors with the model of the '
    'config that evaluates or reads the file; no code in a file is ever run',
}


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description='The model zoo: which published files are there, and whether they fit.',
        epilog=EXAMPLE,
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, epilog=EXAMPLE)
        command.add_argument(
            '--model-root', type=Path, metavar='DIR', default='model', help='default: model'
        )
        command.add_argument('--only', metavar='GLOB', help='files whose path or name this fits')
        if name == 'list':
            form = command.add_mutually_exclusive_group()
            form.add_argument('--json', action='store_true', help='for programs')
            form.add_argument(
                '--markdown', action='store_true', help='the tables of model/README.md'
            )
    return parser.parse_args()


def main() -> int:
    """Print what was asked for; return 1 if a file is wrong."""
    args = parse_arguments()

    from mmseg_uvpt.checkpoints import zoo  # after --help: takes a moment

    chosen = zoo.select(zoo.read_zoo(), args.only)
    if args.command != 'list':
        return _inspect(chosen, args)
    if args.markdown:
        print(zoo.to_markdown(chosen))
    elif args.json:
        print(zoo.to_json(chosen, args.model_root))
    else:
        print(zoo.text_table(chosen, args.model_root))
    return 0


def _inspect(chosen: list, args: argparse.Namespace) -> int:
    from mmseg_uvpt.checkpoints import zoo

    contents = zoo.check_contents if args.command == 'verify' else None
    findings = zoo.inspect(chosen, args.model_root, contents)
    if args.only and not findings:
        raise UserError(
            f'none of the files that --only {args.only} fits is in {args.model_root}; '
            f'{chosen[0].file} is published at {chosen[0].link}'
        )
    for finding in findings:
        print(f'{finding.status:8}{finding.path}: {finding.detail}')
    wrong = sum(finding.status == 'WRONG' for finding in findings)
    missing = len(chosen) - len(findings)
    print(f'{len(findings)} files are there, {wrong} of them wrong; {missing} are not')
    return 1 if wrong else 0
