"""The metric inside mmengine's runner: the best checkpoint, and several processes."""

import multiprocessing

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.datasets import CityscapesDataset
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_uvpt.evaluation.iou_metric import DomainIoUMetric

CLASSES = CityscapesDataset.METAINFO['classes']


class Frames(torch.utils.data.Dataset):
    """Two frames with a truth of two halves."""

    def __init__(self):
        self.metainfo = dict(classes=CLASSES)

    def __len__(self):
        return 2

    def __getitem__(self, index):
        truth = torch.zeros(1, 8, 8, dtype=torch.long)
        truth[..., 4:] = 1
        return dict(inputs=torch.zeros(3, 8, 8), data_samples=truth)


class Fader(BaseModel):
    """Predicts more of class 1 where class 0 is right the longer it is trained."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.steps = 0

    def forward(self, inputs, data_samples, mode):
        if mode == 'loss':
            self.steps += 1
            return dict(loss=self.weight.sum())
        predictions = []
        for truth in data_samples:
            label = truth.clone()
            label[..., : self.steps] = 1
            sample = SegDataSample()
            sample.pred_sem_seg, sample.gt_sem_seg = PixelData(data=label), PixelData(data=truth)
            predictions.append(sample)
        return predictions


def test_best_checkpoint_is_the_one_of_highest_miou(tmp_path):
    def loader():
        sampler = dict(type='DefaultSampler', shuffle=False)
        return dict(dataset=Frames(), batch_size=1, num_workers=0, sampler=sampler)

    runner = Runner(
        model=Fader(),
        work_dir=str(tmp_path),
        train_dataloader=loader(),
        val_dataloader=loader(),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=3, val_interval=1),
        val_cfg={},
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        val_evaluator=[DomainIoUMetric(out_json=f'{tmp_path}/iou.json')],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, save_best='mIoU', interval=99)
        ),
        cfg=Config(),
        default_scope='mmseg',
        experiment_name='best_miou',
    )
    runner.train()
    # Each iteration paints one more of the four columns of class 0: the first is the best.
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_mIoU_iter_1.pth']
    assert runner.message_hub.get_scalar('val/mIoU16').current() == pytest.approx(
        (100 * 1 / 4 + 100 * 4 / 7) / 2
    )


def score_share(rank: int, folder: str, frames: list, queue) -> None:
    """Evaluate every second frame in one of two processes."""
    torch.set_num_threads(1)  # a forked process may not use its parent's thread pool
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{folder}/meet', rank=rank, world_size=2
    )
    metric = DomainIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    # As mmengine's sampler does, the second process is padded with a frame already seen.
    for prediction, truth in (frames + frames[:1])[rank::2]:
        metric.process({}, [dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth))])
    queue.put((rank, metric.evaluate(len(frames))))
    torch.distributed.destroy_process_group()


def test_two_processes_score_as_one_does(tmp_path):
    draw = np.random.default_rng(0)
    frames = [
        tuple(torch.from_numpy(draw.integers(0, 19, (2, 1, 20, 30))).unbind()) for _ in range(3)
    ]
    metric = DomainIoUMetric()
    metric.dataset_meta = dict(classes=CLASSES)
    for prediction, truth in frames:
        metric.process({}, [dict(pred_sem_seg=dict(data=prediction), gt_sem_seg=dict(data=truth))])
    alone = metric.evaluate(len(frames))

    context = multiprocessing.get_context('fork')  # spawned ones would import torch and mmseg again
    queue = context.Queue()
    workers = [
        context.Process(target=score_share, args=(rank, str(tmp_path), frames, queue))
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    together = dict(queue.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    assert together[0] == together[1] == alone
