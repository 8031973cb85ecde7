"""Check a data set: counts, pairs, sizes, label values and class frequencies.

Takes the root of a data set, a folder that holds several, or any folder of photographs, as
`uvpt adapt` takes it. Ends with status 1 if it finds a problem, and says what mends it.
"""

from pathlib import Path

from mmseg_uvpt.arguments import ScriptParser, positive_int
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.processes import share_of_processors

NAMES = (  # keys of LAYOUTS, which are imported after --help
    *('gta', 'synthia', 'cityscapes', 'urbansyn', 'acdc', 'dark_zurich'),
    *('bdd100k', 'bdd100k_seg', 'mapillary', 'mapillary_v2', 'idd'),
)


def main() -> int:
    parser = ScriptParser(
        description=__doc__,
        epilog='examples: python tools/check_data.py data\n'
        '          python tools/check_data.py data/gta --nproc 8',
    )
    parser.add_argument(
        'root', type=Path, help='root of a data set, folder of such roots, or photographs'
    )
    parser.add_argument('--dataset', choices=NAMES, help='which data set root is [by its folders]')
    parser.add_argument(
        '--nproc', type=positive_int, default=share_of_processors(), help='processes [%(default)s]'
    )
    parser.add_argument(
        '--config', help='whose classes the labels have; without one those of Cityscapes'
    )
    arguments = parser.parse_args()

    from mmseg_uvpt.adapting.photographs import UNREADABLE, survey
    from mmseg_uvpt.datasets.conversion.inspection import inspect  # after --help: takes a moment
    from mmseg_uvpt.datasets.conversion.inspection_report import report_text
    from mmseg_uvpt.datasets.label_encodings import CLASSES

    classes = CLASSES
    if arguments.config:
        from mmseg_uvpt.engine.config.classes import classes_of
        from mmseg_uvpt.engine.config.resolve import read

        classes = classes_of(read(arguments.config))
    problems, data_sets = 0, _data_sets(arguments.root, arguments.dataset)
    if not data_sets:
        if arguments.config:
            raise UserError(f'{arguments.root} is no data set with labels: leave out --config')
        found = survey(arguments.root, arguments.nproc)
        told = f'no tree that data/README.md shows: photographs without labels in {arguments.root}'
        print(f'{told}:', *found.lines(), sep='\n')
        problems = len(found.left_out.get(UNREADABLE, ()))
    for layout, root in data_sets:
        for report in inspect(layout, root, arguments.nproc, classes):
            print(report_text(layout, root, report), end='\n\n')
            problems += sum(map(len, report.problems.values()))
    print(f'problems found: {problems}')
    return 1 if problems else 0


def _data_sets(root: Path, name: str | None) -> list:
    """Return pairs of layout and root: ``root`` itself if it is a data set, else those in it.

    None where it holds photographs alone.
    """
    from mmseg_uvpt.datasets.files.image_files import images_below
    from mmseg_uvpt.datasets.layouts import LAYOUTS

    if not root.is_dir():
        raise UserError(f'{root}: there is no such folder. data/README.md shows the trees.')
    if name:
        return [(LAYOUTS[name], root)]
    own = root.resolve().name
    depths = {
        name: layout.depth_in(root)
        for name, layout in LAYOUTS.items()
        # any folder may have images/ in it: without labels these are photographs
        if name == own or layout.images != 'images' or layout.has_labels(root)
    }
    if any(depths.values()):  # several trees may look alike: then the root is called after its own
        return [(LAYOUTS[own if depths.get(own) else max(depths, key=depths.get)], root)]
    found = [(each, root / name) for name, each in LAYOUTS.items() if each.depth_in(root / name)]
    if not found and not images_below(root)[0]:
        raise UserError(
            f'{root} looks like no data set that is known: neither it nor any of '
            f'{", ".join(NAMES)} in it is a tree that data/README.md shows; --dataset names one. '
            'Nor has it any image'
        )
    return found
