"""A work folder made by hand: files only, no model and no image."""

import json
from pathlib import Path

CLASSES = ('road', 'sky <i>')
SENTENCE = 'adapted is better than source by 3.00 mIoU (95 % interval: +1.00 to +5.00), 4 images'


def candidate(iteration: int, score: float) -> dict:
    return {'iteration': iteration, 'score': score, 'interval': [score - 2, score + 2]}


def comparison(low: float, sentence: str = SENTENCE) -> dict:
    row = {'source': 40.0, 'adapted': 43.0, 'difference': 3.0, 'interval': [low, 5.0]}
    return {'mIoU19': row, 'IoU': dict.fromkeys(CLASSES, row), 'sentence': sentence}


FILES = {
    'config.py': "model = dict(type='<u>Adapted', source_checkpoint='source.pth')\n",
    'run.json': {
        'starts': [
            {
                'started': '2026-01-01T10:00:00+00:00',
                'command': 'python train.py <tag>.py',
                'config': 'gone.py',
                'git': {'commit': 'abc', 'dirty': True},
            }
        ],
        'finished': '2026-01-01T11:30:00+00:00',
        'iterations': 4,
    },
    'environment.json': {'host': 'h', 'processors': '2', 'PyTorch': '2.13'},
    'selection.json': {
        'rule': 'guarded',
        'selected': 2,
        'sentence': 'iteration 2 was chosen & kept',
        'warning': None,
        'metric': 'mIoU19',
        'choices': {'last': {'iteration': 4}, 'guarded': {'iteration': 2}},
        'candidates': [candidate(0, 40.0), candidate(2, 43.0), candidate(4, 42.0)],
    },
    'score.json': {
        'checkpoint': 'selected.pth',
        'frames': 4,
        'mIoU19': 43.0,
        'mIoU16': 51.0,
        'intervals': {'mIoU19': [41.5, 44.5], 'mIoU16': [49.0, 53.0]},
        'IoU': dict.fromkeys(CLASSES, 43.0),
        'comparison': comparison(1.0),
    },
    'label_correction.csv': 'iteration,class,event,threshold,pixels_changed,iou\n'
    '1,road,start,0.9,0,0.5\n3,road,stop,0.9,70,0.6\n4,road,end,,30,\n',
    'label_correction_curve.csv': 'iteration,class,iou\n'
    '1,road,0.5\n3,road,0.6\n1,sky <i>,0.2\n3,sky <i>,0.3\n',
    'label_correction_truth.csv': 'iterations,class,event,iou,mended,spoilt,still_wrong\n'
    '0,road,begin,0.5,0,0,0\n4,road,end,0.4,20,60,20\n',
    '20260101_100000/vis_data/scalars.json': '{"loss": 2.0, "step": 1, "time": 0.5}\n'
    '{"loss": 1.0, "step": 2, "time": 0.7}\n{"loss": 1',
}


def write(folder: Path, changes: dict) -> Path:
    """Write the folder, with some of its files otherwise, or without those that are None."""
    changes = {name.replace('_json', '.json'): contents for name, contents in changes.items()}
    for name, contents in {**FILES, **changes}.items():
        if contents is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return folder
