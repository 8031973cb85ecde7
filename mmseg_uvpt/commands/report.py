"""Write a page on one run or several: verdict, scores, curves, frames, config, hardware."""

from mmseg_uvpt.arguments import ScriptParser

EXAMPLE = """\
example:
  python tools/report.py work_dirs/adapted
  python tools/report.py work_dirs/adapted work_dirs/other --out both.html"""


def main() -> None:
    """Write the page."""
    parser = ScriptParser(
        description='Write one HTML page, which needs no other file, on the runs in work folders: '
        'the verdict, scores, curves, the label correction, frames as the source model and the '
        'adapted one see them, a confusion matrix, what differs from the recipe, hardware and '
        'hours. Several runs stand side by side. The config.py of a folder is run, as train.py '
        'runs it.',
        epilog=EXAMPLE,
    )
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='of a training or a test')
    parser.add_argument(
        '--out', metavar='FILE.html', help='default: report.html in the first WORK_DIR'
    )
    args = parser.parse_args()

    from mmseg_uvpt.report.page import write_report  # takes seconds

    print(f'wrote {write_report(args.work_dirs, args.out)}')
