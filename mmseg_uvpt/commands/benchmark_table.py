"""Make the table of results: what was published, and what the launchers measured beside it."""

import argparse
from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser
from mmseg_uvpt.shipped import find_configs, shipped
from mmseg_uvpt.tables import add_target, check_target, deliver

BEGINS = (
    b'| pretraining, backbone, source',
    b'method,backbone,source,',
    b'{\n  "unit": "mIoU',
)  # how such tables begin
EXAMPLE = """\
example:
  python tools/results_table.py work_dirs/sweep
  python tools/results_table.py work_dirs/sweep --format csv --out results_table.csv
  python tools/results_table.py --page README.md     # the published table alone, into the README"""


def parse_arguments() -> argparse.Namespace:
    parser = ScriptParser(
        description='Print mIoU over 19, 16 and 13 classes of source models and adapted models, '
        'published and measured, with iterations, seeds, hardware and hours. Several seeds give '
        'mean and sample standard deviation. "models" says whether source model and adapted model '
        'are own or released ones, or a missing input (a training that is not finished); a row of '
        'several kinds comes once for each. Markdown shows the class sets that were published for '
        'a row, CSV and JSON all three.',
        epilog=EXAMPLE,
    )
    parser.add_argument(
        'work_roots', nargs='*', type=Path, help='that launchers worked in; none: published only'
    )
    parser.add_argument(
        '--config-root', type=find_configs, default=shipped('configs'), help='default: configs'
    )
    parser.add_argument(
        '--format', choices=['markdown', 'csv', 'json'], default='markdown', help='of the output'
    )
    add_target(parser)
    return parser.parse_args()


def main() -> None:
    """Collect and write."""
    args = parse_arguments()
    check_target(args)

    from mmseg_uvpt.sweep import results_table, table_formats

    to_text = getattr(table_formats, f'to_{args.format}')
    text = to_text(results_table.collect(args.config_root, args.work_roots))
    deliver(text, args.page, args.out, BEGINS, 'tools/results_table.py')
