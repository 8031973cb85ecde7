"""Time a training sample, the data loader and the label conversion, plain and fast in one run.

Plain decodes and resizes each image each time, as this project does without a cache; labels are
converted with one boolean mask a class. Fast has the image cache, filled, and converts labels by a
table. The two must give the same bits.
They take turns, and the median counts. Times of parts are processor time of one thread, which other
programs on the machine change little and waiting for a disk not at all. A floor is the time that a
large copy takes for the bytes that a part must read and write.

Throughput is that of the recipes' loaders, batch 1, while nothing else is computed, by the clock;
by processor time it is what a core of its own would give. What a GPU consumes is not measured here
but derived: from the operations of a step of Swin-B an image (`train_step.py`, `hours.py`), at the
400 TFLOP/s in bfloat16 and 50 in float32 taken for an H100. A real step takes longer, and so
consumes less.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from measuring import copy_bytes_per_second, made_how, parser_of, seconds_on_cpu, tell
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.datasets.conversion.class_statistics import count_classes
from mmseg_uvpt.datasets.files.png_files import png_header
from mmseg_uvpt.datasets.image_cache import through_cache
from mmseg_uvpt.datasets.label_encodings import (
    CITYSCAPES_TO_TRAIN_ID,
    read_cityscapes_label,
    to_train_ids,
)
from mmseg_uvpt.datasets.seeded_batches import seed_batches, seeded
from mmseg_uvpt.files import write_json, write_png

REPOSITORY = Path(__file__).resolve().parents[1]
RECIPES = {  # file, folder of the data set
    'adaptation': ('cityscapes_adaptation', 'cityscapes'),
    'source training': ('gta', 'gta'),
}
OPERATIONS = {'adaptation': 5.24e12, 'source training': 0.83e12}  # an image
GPU_SPEEDS = {'bfloat16': 400e12, 'float32': 50e12}
HEIGHT, WIDTH = 1024, 2048
DRAWS = 8  # random numbers that a part is timed with; its time is their mean


processor_seconds = partial(seconds_on_cpu, clock=time.process_time)


def make_frames(folder: Path) -> list[Path]:
    """Write four frames whose PNGs are about as large as those of Cityscapes, 2.4 MB."""
    paths = []
    for i in range(4):
        rng = np.random.default_rng(i)
        smooth = rng.uniform(0, 255, (16, 32, 3)).astype(np.float32)
        smooth = cv2.resize(smooth, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        noisy = smooth + rng.normal(0, 0.7, smooth.shape)
        paths.append(folder / f'{i}.png')
        write_png(paths[-1], noisy.clip(0, 255).astype(np.uint8), compression=6)
    return paths


def made_label(ids: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Return a label of patches with random ids below ``ids``."""
    patches = np.random.default_rng(0).integers(0, ids, (16, 32)).astype(np.uint8)
    return cv2.resize(patches, size[::-1], interpolation=cv2.INTER_NEAREST)


def make_trees(root: Path, frames: list[Path]) -> None:
    """Link frames into the trees of Cityscapes and GTA, and make labels and pseudo labels."""
    for i, frame in enumerate(frames):
        for image in (f'cityscapes/leftImg8bit/train/a/{i}_leftImg8bit.png', f'gta/images/{i}.png'):
            (root / image).parent.mkdir(parents=True, exist_ok=True)
            (root / image).symlink_to(frame.resolve())
        label = made_label(19, png_header(frame).size)
        write_png(root / f'gta/labels/{i}_labelTrainIds.png', label)
        write_png(root / f'pseudo/a/{i}_gtFine_labelTrainIds.png', label)


def loaders(recipe: str, root: Path) -> dict[str, dict]:
    """Return a recipe's training loader, ``plain`` and ``fast``."""
    file, folder = RECIPES[recipe]
    plain = Config.fromfile(REPOSITORY / f'configs/_base_/datasets/{file}.py').train_dataloader
    plain = {**plain.to_dict(), 'batch_size': 1, 'persistent_workers': False}
    plain['dataset'] = {**plain['dataset'], 'data_root': str(root / folder)}
    if recipe == 'adaptation':
        plain['dataset']['pseudo_label_dir'] = str(root / 'pseudo')
    return {'plain': plain, 'fast': through_cache(plain, str(root / 'cache'))}


def parts(pipeline: list[dict]) -> dict[str, Callable]:
    """Return a pipeline's parts by name: what loads and resizes is one."""
    steps = [TRANSFORMS.build(step) for step in pipeline]
    names = [type(step).__name__ for step in steps]
    head = next(i for i, name in enumerate(names) if 'Crop' in name)

    def load(results: dict) -> dict:
        for step in steps[:head]:
            results = step(results)
        return results

    return {'image and label, resized': load, **dict(zip(names[head:], steps[head:], strict=True))}


def copied(results: dict) -> dict:
    """Return results that may be changed; arrays are shared."""
    return {k: list(v) if isinstance(v, list) else v for k, v in results.items()}


def run_part(part: Callable, inputs: list[dict]) -> list[dict]:
    """Run a part of a pipeline, each time with other random numbers."""
    outputs = []
    for number, results in enumerate(inputs):
        with seeded(number):
            outputs.append(part(copied(results)))
    return outputs


def size_of(results: dict) -> int:
    """Return the bytes of the arrays and tensors in a part's results."""
    values = list(results.values())
    if 'data_samples' in results:
        values += [each.data for each in results['data_samples'].values()]
    return sum(v.nbytes for v in values if isinstance(v, np.ndarray | torch.Tensor))


def equal(a: list[dict], b: list[dict]) -> bool:
    """Tell whether samples are the same to the bit."""
    return all(
        x['inputs'].equal(y['inputs'])
        and x['data_samples'].metainfo == y['data_samples'].metainfo
        and all(
            v.data.equal(w.data)
            for v, w in zip(x['data_samples'].values(), y['data_samples'].values(), strict=True)
        )
        for x, y in zip(a, b, strict=True)
    )


def measure_sample(recipe: str, root: Path, rounds: int, bandwidth: float) -> list[dict]:
    """Return a row for each part of a training sample, and for the whole."""
    kinds = loaders(recipe, root)
    built = {kind: parts(loader['dataset']['pipeline']) for kind, loader in kinds.items()}
    dataset = Runner.build_dataloader({**kinds['plain'], 'num_workers': 0}).dataset
    inputs = [dataset.get_data_info(i % len(dataset)) for i in range(DRAWS)]
    states = dict.fromkeys(built, inputs)
    rows = []
    for name in built['plain']:
        runs = {kind: partial(run_part, built[kind][name], states[kind]) for kind in built}
        after = {kind: run() for kind, run in runs.items()}
        seconds = processor_seconds(runs, rounds)
        is_view = 'Crop' in name or 'Flip' in name
        moved = sum(map(size_of, after['plain'])) + sum(map(size_of, states['plain']))
        rows.append(
            {
                'recipe': recipe,
                'part': name,
                **{f'{kind}_s': seconds[kind] / DRAWS for kind in runs},
                'floor_s': 0.0 if is_view else moved / DRAWS / bandwidth,
            }
        )
        states = after
    assert equal(*states.values()), f'{recipe}: the two ways differ'
    keys = ('plain_s', 'fast_s', 'floor_s')
    total = {key: sum(row[key] for row in rows) for key in keys}
    return [*rows, {'recipe': recipe, 'part': 'sum', **total}]


def images_per_second(loader: dict, workers: int, seconds: float) -> tuple[float, float]:
    """Return how many images a loader gives in a second once it runs.

    Returns:
        tuple: by the clock, and by this process's processor time, which counts without workers.
    """
    loader = seed_batches({**loader, 'num_workers': workers}, 0)
    batches = iter(Runner.build_dataloader(loader, seed=0))
    for _ in range(4 + 2 * workers):  # what the workers had time to prepare does not count
        next(batches)
    number, passed, start, start_of_processor = 0, 0.0, time.perf_counter(), time.process_time()
    while passed < seconds:
        next(batches)
        number += 1
        passed = time.perf_counter() - start
    return number / passed, number / (time.process_time() - start_of_processor)


def measure_loader(recipe: str, root: Path, rounds: int, workers: list[int]) -> list[dict]:
    """Return a row for each number of workers."""
    rows = []
    for each in workers:
        found = {kind: [] for kind in ('plain', 'fast')}
        for _ in range(rounds):
            for kind, loader in loaders(recipe, root).items():
                found[kind].append(images_per_second(loader, each, 2))
        row = {'recipe': recipe, 'workers': each}
        for kind, rates in found.items():
            by_clock, by_processor = (statistics.median(rate) for rate in zip(*rates, strict=True))
            row[f'{kind}_images_per_s'] = by_clock
            if each == 0:
                row[f'{kind}_images_per_processor_s'] = by_processor
        rows.append(row)
    return rows


def by_masks(raw: np.ndarray, lut: np.ndarray, ids: list[int]) -> np.ndarray:
    """Translate a label with one comparison an id, the way the common converters do."""
    train_ids = np.full_like(raw, 255)
    for i in ids:
        train_ids[raw == i] = lut[i]
    return train_ids


def measure_conversion(path: Path, folder: Path, rounds: int, bandwidth: float) -> list[dict]:
    """Return a row for each part of converting a label of Cityscapes, ``plain`` by 19 masks."""
    lut = CITYSCAPES_TO_TRAIN_ID
    raw = read_cityscapes_label(path)
    label = to_train_ids(raw, lut)
    classes = np.flatnonzero(lut != 255).tolist()
    ways = {
        'plain': partial(by_masks, raw, lut, classes),
        'fast': partial(to_train_ids, raw, lut),
    }
    assert np.array_equal(*(way() for way in ways.values())), 'the two ways differ'
    both = {
        'read and check': partial(read_cityscapes_label, path),
        'count classes': partial(count_classes, label),
        'compress and write': partial(write_png, folder / 'label.png', label, compression=6),
    }
    same = processor_seconds(both, rounds)
    rows = [{'part': name, 'plain_s': s, 'fast_s': s} for name, s in same.items()]
    translated = {f'{kind}_s': s for kind, s in processor_seconds(ways, rounds).items()}
    return [{'part': 'translate', **translated, 'floor_s': 2 * raw.nbytes / bandwidth}, *rows]


def table(rows: list[dict], first: str) -> str:
    """Return rows of times as a Markdown table."""
    lines = [f'| {first} | plain, ms | fast, ms | plain / fast | floor, ms |', '|---' * 5 + '|']
    for row in rows:
        plain, fast, floor = (1e3 * row.get(f'{k}_s', np.nan) for k in ('plain', 'fast', 'floor'))
        floor = '' if np.isnan(floor) else f'{floor:.3f}'
        lines.append(f'| {row["part"]} | {plain:.3f} | {fast:.3f} | {plain / fast:.1f} | {floor} |')
    return '\n'.join(lines)


def loader_table(rows: list[dict], operations: float) -> str:
    """Return rows of throughput as a Markdown table, for so many operations an image."""
    columns = ' | '.join(f'fast / needed, {kind}' for kind in GPU_SPEEDS)
    lines = [f'| workers | plain, images/s | fast, images/s | {columns} |', '|---' * 5 + '|']
    for row in rows:
        for unit, what in (('s', ''), ('processor_s', ', by processor time')):
            if f'fast_images_per_{unit}' in row:
                plain, fast = (row[f'{kind}_images_per_{unit}'] for kind in ('plain', 'fast'))
                seconds = [operations / speed for speed in GPU_SPEEDS.values()]
                needed = ' | '.join(f'{fast * s:.2f}' for s in seconds)
                lines.append(f'| {row["workers"]}{what} | {plain:.1f} | {fast:.1f} | {needed} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = parser_of(
        __doc__,
        'data.py --frames data/cityscapes/leftImg8bit/train/aachen --label '
        'data/cityscapes/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png',
    )
    parser.add_argument('--frames', type=Path, help='folder of PNGs [four of 2048 x 1024 are made]')
    parser.add_argument('--label', type=Path, help='a Cityscapes labelIds file [one is made]')
    parser.add_argument('--workers', type=int, nargs='+', default=[0, 1, 2], help='of the loader')
    parser.add_argument('--rounds', type=int, default=5, help='the median counts [%(default)s]')
    args = parser.parse_args()

    init_default_scope('mmseg')
    cv2.setNumThreads(0)  # as in the recipes
    how = made_how('cpu', {'what a GPU consumes': 'derived from operations'})
    bandwidth = copy_bytes_per_second()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        frames = sorted(args.frames.glob('*.png'))[:16] if args.frames else make_frames(root)
        if not frames:
            parser.error(f'--frames {args.frames}: there is no PNG in it')
        make_trees(root, frames)
        label = args.label or root / 'labelIds.png'
        if not args.label:
            write_png(label, made_label(34))
        how['frames'] = [f'{path.name}, {path.stat().st_size} bytes' for path in frames]
        tell(how)
        samples, throughput = [], []
        for recipe in RECIPES:
            found = measure_sample(recipe, root, args.rounds, bandwidth)
            print(f'\nA sample of {recipe}\n\n{table(found, "part")}', flush=True)
            samples += found
            found = measure_loader(recipe, root, args.rounds, args.workers)
            shown = loader_table(found, OPERATIONS[recipe])
            print(f'\nThe loader of {recipe}\n\n{shown}', flush=True)
            throughput += found
        conversion = measure_conversion(label, root, 4 * args.rounds, bandwidth)
        print(f'\nConverting a label\n\n{table(conversion, "part")}')
    if args.json:
        figures = {'samples': samples, 'loaders': throughput, 'conversion': conversion}
        write_json(args.json, {**how, **figures})


if __name__ == '__main__':
    main()
