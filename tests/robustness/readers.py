"""Every kind of file that the software reads: how a good one is made, and how the scripts read it.

`test_files.py` damages each in each way of `damages.py`; `tests/fuzz` feeds them what a fuzzer
thinks of. To add a kind of file, add a `Reader` to `READERS`.
"""

import csv
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS, TRANSFORMS

import mmseg_uvpt.register  # noqa: F401
from mmseg_uvpt.adapting import command_stages as stages
from mmseg_uvpt.augmentation import prerequisites, style_images
from mmseg_uvpt.augmentation.style_networks import fit_weights
from mmseg_uvpt.augmentation.style_randomisation import StyleRandomisation
from mmseg_uvpt.checkpoints.export import join, split
from mmseg_uvpt.checkpoints.fitting import fit
from mmseg_uvpt.checkpoints.loading import fit_imagenet_weights, load_file, state_dict_of
from mmseg_uvpt.checkpoints.names import to_released
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.checkpoints.shapes import shapes_only
from mmseg_uvpt.checkpoints.zoo import read_zoo
from mmseg_uvpt.correction.identity import BankIdentity
from mmseg_uvpt.correction.label_bank import Box, Kept, LabelBank
from mmseg_uvpt.correction.pseudo_label_files import TargetFrame, check_frames, read_pseudo_labels
from mmseg_uvpt.correction.record import COLUMNS, EVENTS, CorrectionRecord
from mmseg_uvpt.datasets.cache_entries import read_entry, write_entry
from mmseg_uvpt.datasets.conversion.class_statistics import PER_FILE, known_counts, write_statistics
from mmseg_uvpt.datasets.conversion.convert import _is_done, _Task
from mmseg_uvpt.datasets.conversion.polygons import read_cityscapes_polygons
from mmseg_uvpt.datasets.label_encodings import (
    read_cityscapes_label,
    read_gta_label,
    read_synthia_label,
)
from mmseg_uvpt.engine.config import required, resolve
from mmseg_uvpt.engine.config.complete import complete
from mmseg_uvpt.engine.inference.label_report import JOURNAL, REPORT, LabelReport
from mmseg_uvpt.engine.inference.pseudo_labels import _count_if_whole
from mmseg_uvpt.engine.work_folder import claim
from mmseg_uvpt.engine.work_folder.failures import readable_failures
from mmseg_uvpt.minicity import production
from mmseg_uvpt.minicity.looks import CITYSCAPES
from mmseg_uvpt.ops import build
from mmseg_uvpt.sweep import attempt, results_table, scores, table_formats
from mmseg_uvpt.sweep.rows import Row

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also where no conftest.py did

import raw_labels

REPOSITORY = Path(__file__).resolve().parents[2]
LABEL = np.array([[0, 3, 18, 255], [1, 1, 2, 2]], np.uint8).repeat(4, 0).repeat(4, 1)
IDS = np.array([[7, 12, 33, 0], [8, 8, 11, 11]]).repeat(4, 0).repeat(4, 1)
CLASSES = ('road', 'car')


@dataclass(frozen=True)
class Reader:
    """A kind of file.

    Attributes:
        name: for people.
        file: name of the file.
        make: writes a good one into a folder, and what must lie beside it.
        read: reads it as the scripts do, given its path, and returns what comes of it; None where
            the documented rule passes over a file that does not serve.
        rule: what happens to one that does not serve.
        missing: the same where there is none; an error if empty.
        kind: of contents; `damages.py` makes more ways to be wrong of it.
    """

    name: str
    file: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    rule: str = ''
    missing: str = ''
    kind: str = 'json'


def _picture(path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (8, 16, 3)).astype(np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(colours, (5, 5), 2))


def _image(path: Path) -> np.ndarray:
    init_default_scope('mmseg')
    return TRANSFORMS.build({'type': 'LoadImageChecked'})({'img_path': str(path)})['img']


CACHED = {'img': LABEL.repeat(3, 1).reshape(*LABEL.shape, 3), 'img_shape': LABEL.shape}


def _style_folder(folder: Path) -> None:
    _picture(folder / 'style.jpg')
    _picture(folder / 'another.png')


def _style_image(path: Path) -> np.ndarray:
    style_images.check(path.parent)
    return style_images.read(path, square=True)


def _train_ids(path: Path) -> np.ndarray:
    init_default_scope('mmseg')
    results = {'seg_map_path': str(path), 'img_path': 'image.png', 'seg_fields': []}
    results['num_classes'] = 19  # which a data set adds
    loader = TRANSFORMS.build({'type': 'LoadLabelChecked'})
    return loader({**results, 'ori_shape': LABEL.shape})['gt_seg_map']


def _grey(folder: Path, name: str, values: np.ndarray) -> None:
    raw_labels.write_grey(folder / name, values)


def _with_image(folder: Path) -> None:
    raw_labels.write_rgb(folder / 'image.png', np.zeros((*LABEL.shape, 3)))
    raw_labels.write_grey(folder / 'label.png', LABEL)


def _frame(path: Path) -> TargetFrame:
    return TargetFrame('image', path.parent / 'image.png', path)


def _pseudo_label(path: Path) -> np.ndarray:
    frames = [_frame(path)]
    check_frames(frames, path.parent)
    return next(read_pseudo_labels(frames, path.parent, 19))


def _whole_pseudo_label(path: Path) -> bool | None:
    report = LabelReport(path.parent, [*map(str, range(19))], {}, force=True)
    return _count_if_whole(_frame(path), report) or None


def _converted(folder: Path) -> None:
    raw_labels.write_grey(folder / 'raw.png', IDS.astype(np.uint8))
    raw_labels.write_grey(folder / 'label.png', LABEL)


def _kept_conversion(path: Path) -> bool | None:
    task = _Task(path.parent / 'raw.png', path, read_cityscapes_label, False, False, None)
    return _is_done(task) or None


def _polygons(folder: Path) -> None:
    square = [[2, 2], [9, 2], [9, 6], [2, 6]]
    objects = [{'label': 'road', 'polygon': square}, {'label': 'car', 'polygon': square[:3]}]
    text = json.dumps({'imgHeight': 8, 'imgWidth': 16, 'objects': objects})
    (folder / 'a_polygons.json').write_text(text)


@cache
def model(kind: str) -> torch.nn.Module:
    """Return a nano model, ``source`` or ``uni-uvpt``; its values are not looked at."""
    init_default_scope('mmseg')
    path = REPOSITORY / f'configs/_base_/models/swin-nano_{kind}.py'
    with shapes_only():
        return MODELS.build(Config.fromfile(path).model)


@cache
def _tensors(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(t.shape, generator=generator).to(t.dtype)
        for name, t in model(kind).state_dict().items()
        if not name.endswith('relative_position_index')
    }


def _checkpoint(name: str) -> Callable[[Path], None]:
    meta = {'CLASSES': ['road']}
    return lambda folder: write_file(
        {'meta': meta, 'state_dict': _tensors('source')}, folder / name
    )


def _fitted(path: Path) -> dict[str, torch.Tensor]:
    return fit(model('source'), state_dict_of(load_file(path), path), str(path))


def _imagenet(folder: Path) -> None:
    backbone = {
        name.removeprefix('backbone.'): tensor
        for name, tensor in _tensors('source').items()
        if name.startswith('backbone.')
    }
    torch.save({'model': backbone}, folder / 'imagenet.pth')


def _exported(folder: Path) -> None:
    source = _tensors('source')
    adapted = dict(_tensors('uni-uvpt'))
    for name in adapted:
        if name.startswith('backbone.staged.'):
            adapted[name] = source[f'backbone.{name.removeprefix("backbone.staged.")}']
    torch.save({'state_dict': source}, folder / 'source.pth')
    torch.save({'meta': {}, 'state_dict': to_released(adapted)}, folder / 'adapted.pth')
    small = split(folder / 'adapted.pth', folder / 'source.pth')
    write_file(small, folder / 'prompts.safetensors')


def _joined(path: Path) -> dict[str, torch.Tensor]:
    return join(path, path.parent / 'source.pth')['state_dict']


def _embeddings(folder: Path) -> None:
    held = {
        'pbn_embedding_mean': torch.rand(1, 100),
        'pbn_embedding_covariance': torch.rand(100, 100),
    }
    torch.save(held, folder / 'embeddings.pth')


@cache
def _style_network() -> torch.nn.Module:
    with shapes_only():
        return StyleRandomisation()


def _style_weights(path: Path) -> dict[str, torch.Tensor]:
    return fit_weights(_style_network(), 'style_embeddings', str(path))


def _config(folder: Path) -> None:
    data = 'train_dataloader, model = dict(dataset=dict()), dict('
    text = f'{data}\n    type="EncoderDecoder", pretrained="a")'
    (folder / 'config.py').write_text(text)


def _read_config(path: Path) -> dict:
    arguments = Namespace(config=str(path), data_root=None, cfg_options=())
    cfg = resolve.resolve(arguments)
    prerequisites.check(cfg)
    required.require_data(cfg, 'train_dataloader')
    return cfg.model.to_dict()


def _claimed(path: Path) -> object:
    model = {'type': 'EncoderDecoder', 'pretrained': 'a'}
    data = {'train_dataloader': {'dataset': {}}}
    cfg = Config({'model': model, **data, 'work_dir': str(path.parent)})
    complete(cfg)
    return claim.claim(cfg, resume=True) or 'from the beginning'


def _write_json(name: str, value: object) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value))

    return make


ROW = Row('row', 'SSS', 'Swin-B', 'GTA', Path('row.py'), None)
TRAINED = {
    'starts': [{'seed': 0, 'started': '2026-01-01T10:00:00+00:00'}],
    'finished': '2026-01-01T16:00:00+00:00',
    'iterations': 4,
}
SCORE = {'mIoU19': 41.5, 'mIoU16': 40.0, 'mIoU13': 50.0, 'checkpoint': 'iter_4.pth'}


def table_of(root: Path) -> str:
    """Return the results of one row of a work root, in all three forms."""
    run = results_table._run(ROW, root, 0, root / 'seed0', (None, None))
    table = [results_table.Result(ROW, None, {}, {}, [run] if run else [])]
    forms = table_formats.to_markdown, table_formats.to_csv, table_formats.to_json
    text = ''.join(form(table) for form in forms)
    return text.replace(json.dumps(str(root)), 'root')


def _results(file: str) -> Reader:
    """Return the reader of one of the files that a work root holds of a row."""

    def make(folder: Path) -> None:
        _write_json('seed0/train/row/run.json', TRAINED)(folder)
        _write_json('seed0/train/row/environment.json', {'GPU 0,1': 'A'})(folder)
        _write_json('seed0/test/row/score.json', SCORE)(folder)

    name = f'{Path(file).name} in the table of results'
    return Reader(name, file, make, lambda p: table_of(p.parents[3]), missing='no result yet')


def _journal(folder: Path) -> None:
    _write_json(REPORT, {'checkpoint_sha256': 'a', 'checkpoint': 'x.pth'})(folder)
    lines = [{'frame': name, 'pixels': [1, 2], 'confidence': [0.5, 1.5]} for name in 'abc']
    (folder / JOURNAL).write_text(''.join(f'{json.dumps(line)}\n' for line in lines))


def _report(path: Path) -> LabelReport:
    facts = {'checkpoint_sha256': 'a', 'checkpoint': 'x.pth'}
    return LabelReport(path.parent, CLASSES, facts, force=False)


def _taken_up(path: Path) -> str | None:
    with readable_failures(str(path.parent)):
        report = _report(path)
        report.begin(anew=False)
    report.images = 3
    table = report.table().replace(str(path.parent), '')
    return None if 'confidences of ' in table else table


BOX = Box(0, 4, 2, 8)
IDENTITY = BankIdentity('pseudo', 19, (4, 6), 'none', ('a', 'b'))


def _bank(folder: Path) -> None:
    sizes = [LABEL.shape, LABEL.shape]
    bank = LabelBank.create(folder / 'label_bank', IDENTITY, sizes, [LABEL, LABEL])
    confidence = np.linspace(0, 1, 24).reshape(4, 6).astype(np.float16)
    bank.keep(0, 7, Kept(BOX, np.full((4, 6), 3, np.uint8), confidence))
    bank.close()


def _opened(path: Path) -> tuple:
    with readable_failures(str(path.parent)):
        bank = LabelBank(path.parent, IDENTITY)
    kept = bank.kept(0)
    found = (bank.iteration, *kept, bank.thresholds(0.5), bank.read_label(1, BOX))
    bank.close()
    return found


def _bank_file(name: str, kind: str) -> Reader:
    return Reader(f'label bank, {name}', f'label_bank/{name}', _bank, _opened, kind=kind)


def _events(folder: Path) -> None:
    with (folder / EVENTS).open('w', newline='') as file:
        rows = [(i, 'road', '', 0.5, 12, 0.25) for i in (2, 4, 6)]
        csv.writer(file).writerows([COLUMNS[EVENTS], *rows])


def _resumed(path: Path) -> list | None:
    rows = CorrectionRecord(path.parent, CLASSES)._rows(EVENTS, 6)
    return rows if len(rows) == 3 else None


def _statistics(folder: Path) -> None:
    _grey(folder, 'a.png', LABEL)
    write_statistics(folder, {'a.png': {0: 12, 3: 4}})


MINICITY = {'version': 0, 'seed': 1, 'train_frames': 2, 'val_frames': 2, 'looks': {}}


def _claimed_city(path: Path) -> str:
    """Return what a folder that holds another city is refused with."""
    from mmseg_uvpt.errors import UserError

    try:
        production._claim(path.parent, 2, 2, 0, False, CITYSCAPES)
    except UserError as error:
        if 'holds another MiniCity' not in str(error):
            raise
        return str(error).replace(str(path.parent), '')
    return 'claimed'


STAGE = stages.Stage('render', 'rendering', ())


def _build_record(path: Path) -> str | None:
    folders, build.folders = build.folders, lambda: [path.parent]
    try:
        found = build.why_missing('cpp')
    finally:
        build.folders = folders
    return None if 'not built' in found else found


def _gta(folder: Path) -> None:
    raw_labels.write_gta(folder / 'label.png', IDS)


READERS = (
    Reader('image', 'image.png', lambda f: _picture(f / 'image.png'), _image, kind='image'),
    Reader('photograph', 'photo.jpg', lambda f: _picture(f / 'photo.jpg'), _image, kind='photo'),
    Reader('image cache', 'entry', lambda f: write_entry(f / 'entry', ('image', 1), CACHED),
           lambda p: read_entry(p, ('image', 1)), rule='made again', missing='made again',
           kind='raw'),
    Reader('style image', 'style.jpg', _style_folder, _style_image, kind='photo'),
    Reader('GTA label', 'label.png', _gta, read_gta_label, kind='palette'),
    Reader('SYNTHIA label', 'label.png',
           lambda f: raw_labels.write_synthia(f / 'label.png', IDS % 23), read_synthia_label,
           kind='16 bits'),
    Reader('Cityscapes labelIds', 'label.png', lambda f: _grey(f, 'label.png', IDS),
           read_cityscapes_label, kind='label'),
    Reader('Cityscapes polygons', 'a_polygons.json', _polygons, read_cityscapes_polygons),
    Reader('train id label', 'label.png', lambda f: _grey(f, 'label.png', LABEL), _train_ids,
           kind='label'),
    Reader('pseudo label, in training', 'label.png', _with_image, _pseudo_label, kind='label'),
    Reader('pseudo label, found when labelling', 'label.png', _with_image, _whole_pseudo_label,
           rule='made again', missing='made again', kind='label'),
    Reader('converted label, found when converting', 'label.png', _converted, _kept_conversion,
           rule='made again', missing='made again', kind='label'),
    Reader('checkpoint', 'model.pth', _checkpoint('model.pth'), _fitted, kind='torch'),
    Reader('checkpoint', 'model.safetensors', _checkpoint('model.safetensors'), _fitted,
           kind='safetensors'),
    Reader('exported prompts', 'prompts.safetensors', _exported, _joined, kind='safetensors'),
    Reader('ImageNet weights', 'imagenet.pth', _imagenet,
           lambda p: fit_imagenet_weights(model('source').backbone, p), kind='torch'),
    Reader('style weights', 'embeddings.pth', _embeddings, _style_weights, kind='torch'),
    Reader('config', 'config.py', _config, _read_config, kind='text'),
    Reader('config of a work folder', 'config.py', _config, _claimed, kind='record',
           missing='no run yet'),
    Reader('run.json', 'run.json', _write_json('run.json', TRAINED),
           lambda p: claim.run_record_of(p.parent), missing='no run yet'),
    _results('seed0/train/row/run.json'),
    _results('seed0/train/row/environment.json'),
    _results('seed0/test/row/score.json'),
    Reader('job.json', 'job.json', _write_json('job.json', {'attempts': [{'status': 1}]}),
           lambda p: attempt.last_of(attempt.job_record_of(p.parent)), missing='not run yet'),
    Reader('scalars.json', 'a/vis_data/scalars.json',
           _write_json('a/vis_data/scalars.json', {'step': 2, 'mIoU': 1.0, **SCORE}),
           lambda p: scores.evaluations(p.parents[2]) or None, rule='line passed over',
           missing='no evaluation yet'),
    Reader('pseudo_labels.json', REPORT,
           _write_json(REPORT, {'checkpoint_sha256': 'a', 'checkpoint': 'x.pth'}),
           lambda p: _report(p) and 'of the same checkpoint', missing='no labels yet'),
    Reader('confidences of pseudo labels', JOURNAL, _journal, _taken_up,
           rule='counted as unknown', missing='counted as unknown', kind='lines'),
    Reader('model/zoo.json', 'zoo.json',
           lambda f: (f / 'zoo.json').write_bytes((REPOSITORY / 'model/zoo.json').read_bytes()),
           read_zoo),
    _bank_file('meta.json', 'json'),
    _bank_file('labels.u8', 'raw'),
    _bank_file('predictions.u8', 'raw'),
    _bank_file('confidences.f16', 'raw'),
    _bank_file('index.i64', 'raw'),
    Reader('label_correction.csv', EVENTS, _events, _resumed, missing='begun anew',
           rule='row passed over', kind='lines'),
    Reader('class statistics', PER_FILE, _statistics, lambda p: known_counts(p.parent) or None,
           rule='counted again', missing='counted again'),
    Reader('minicity.json', 'minicity.json', _write_json('minicity.json', MINICITY),
           _claimed_city, missing='a new city'),
    Reader('stage of the demo', 'done/render.json',
           _write_json('done/render.json', {'commands': []}),
           lambda p: stages.run(STAGE, p.parents[1], '1/1') or 'done before',
           missing='stage is run'),
    Reader('record of a build', 'uvpt_cpp.json',
           _write_json('uvpt_cpp.json', {'missing': 'no compiler'}), _build_record,
           rule='as if not built', missing='as if not built'),
)  # fmt: skip
