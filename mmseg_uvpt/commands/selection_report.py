"""Say how well label-free criteria rank the candidates of recorded runs."""

import sys
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser
from mmseg_uvpt.errors import UserError

EXAMPLE = """\
example:
  python tools/selection_report.py work_dirs/adapted work_dirs/other
  python tools/selection_report.py work_dirs/* --page docs/results.md"""


def main() -> None:
    """Read the records, and print the table."""
    parser = ScriptParser(
        description="Compare criteria with the target's labels over the candidates of adaptations "
        'that were evaluated (docs/selection.md), as a Markdown table.',
        epilog=EXAMPLE,
    )
    parser.add_argument(
        'runs',
        nargs='+',
        help='work folders that hold a selection.json, or records of the leaderboard',
    )
    parser.add_argument(
        '--page', type=Path, metavar='FILE', help='a page with a marked place for the table'
    )
    args = parser.parse_args()

    from mmseg_uvpt.selection.ranking import rank_all, read_run, to_markdown
    from mmseg_uvpt.tables import deliver

    runs = []
    for path in args.runs:  # a pattern may match source models, too, and earlier records
        try:
            runs.append(read_run(path))
        except UserError as error:
            print(f'left out: {error}', file=sys.stderr)
    if not runs:
        raise UserError('no run there says what was found of its candidates')
    text = to_markdown(rank_all(runs), runs)
    deliver(text, args.page, None, (), 'tools/selection_report.py')
