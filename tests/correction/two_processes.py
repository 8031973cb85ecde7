"""Run by torchrun: ``two_processes.py CONFIG``, a training with a model that guesses.

Also imported by the test, which runs the same training in one process.
"""

import ast
import json
import sys
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.model import is_model_wrapper
from mmseg.registry import MODELS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import mmseg_uvpt.register  # noqa: F401
from correction.conftest import CROP, Guesser, Prediction
from mmseg_uvpt.correction.hook import LabelCorrectionHook
from mmseg_uvpt.engine.training.runner import ProjectRunner


@MODELS.register_module()
class PlaceGuesser(Guesser):
    """Predicts noise that depends on the iteration and the sample's place in the joint batch."""

    def forward(self, inputs, data_samples, mode):
        losses = super().forward(inputs, data_samples, mode)
        labels, confidences = [], []
        for k in range(len(inputs)):
            place = k * get_world_size() + get_rank()
            rng = np.random.default_rng([int(self.count), place])
            labels.append(np.kron(rng.integers(0, 4, (4, 4)), np.ones((8, 8))))
            confidences.append(rng.uniform(0.3, 1, (CROP, CROP)))
        self.last_prediction = Prediction(
            torch.from_numpy(np.stack(labels).astype(np.uint8)),
            torch.from_numpy(np.stack(confidences).astype(np.float32)),
        )
        return losses


def train(config: dict) -> tuple[ProjectRunner, LabelCorrectionHook]:
    """Train and return the runner and its hook; batches are seeded by their place."""
    config['train_cfg']['type'] = 'SeededTrainLoop'
    runner = ProjectRunner.from_cfg(Config(config))
    runner.train()
    return runner, next(h for h in runner.hooks if isinstance(h, LabelCorrectionHook))


if __name__ == '__main__':
    runner, hook = train(ast.literal_eval(Path(sys.argv[1]).read_text()))
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    given = [
        [meta['sample_idx'], meta['crop_box'], label.tolist()]
        for batch in model.seen
        for meta, label, _, _ in batch
    ]
    path = Path(runner.work_dir) / f'given{get_rank()}.json'
    path.write_text(json.dumps(given, default=lambda value: np.asarray(value).tolist()))
