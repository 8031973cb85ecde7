"""The command line that all converters share."""

import sys
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, positive_int
from mmseg_uvpt.processes import share_of_processors


def main(name: str, about: str) -> int:
    """Read the arguments, convert, report.

    Args:
        name: key of `mmseg_uvpt.datasets.layouts.LAYOUTS`.
        about: first line of the help.

    Returns:
        int: exit status, 1 if a label could not be converted.
    """
    parser = ScriptParser(
        description=about,
        epilog=f'example: python tools/convert_datasets/{name}.py data/{name} --nproc 8',
    )
    parser.add_argument('root', type=Path, help='root of the data set; data/README.md shows trees')
    parser.add_argument(
        '--nproc', type=positive_int, default=share_of_processors(), help='processes [%(default)s]'
    )
    parser.add_argument('--force', action='store_true', help='convert also what is done')
    arguments = parser.parse_args()

    # after --help: takes a moment
    from mmseg_uvpt.datasets.conversion.convert import convert_data_set
    from mmseg_uvpt.datasets.layouts import LAYOUTS

    layout = LAYOUTS[name]
    report = convert_data_set(layout, arguments.root, arguments.nproc, arguments.force)
    print(f'{layout.title}: labels converted: {report.written}, done already: {report.kept}')
    if report.errors:
        print(f'error: labels that could not be converted: {len(report.errors)}', file=sys.stderr)
        for error in report.errors:
            print(f'  {error}', file=sys.stderr)
        return 1
    return 0
