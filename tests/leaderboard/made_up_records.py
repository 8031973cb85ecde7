"""Records of runs that nobody made, of three classes and a dozen images."""

from pathlib import Path

import numpy as np

from mmseg_uvpt.leaderboard.run_record import SOURCE, write_record

CLASSES, IMAGES = 3, 12


def confusions(seed: int, right: float) -> np.ndarray:
    """Return a confusion matrix an image (N, C, C); the truth is that of the seed."""
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, CLASSES, (IMAGES, 200))
    truth[2:][truth[2:] == 2] = 0  # a class that few images have
    noise, kept = draw.integers(0, CLASSES, truth.shape), draw.random(truth.shape)
    predicted = np.where(kept < right, truth, noise)
    codes = truth * CLASSES + predicted
    return np.array([np.bincount(c, minlength=9).reshape(CLASSES, CLASSES) for c in codes])


def counts_of(matrices: np.ndarray) -> dict:
    intersection = matrices.diagonal(axis1=1, axis2=2)
    union = matrices.sum(1) + matrices.sum(2) - intersection
    return {'intersection': intersection.tolist(), 'union': union.tolist()}


def miou(matrices: np.ndarray) -> float:
    """Return the mean IoU in percent of images that are added up."""
    total = matrices.sum(0)
    found = [
        100 * total[i, i] / (total[i].sum() + total[:, i].sum() - total[i, i])
        for i in range(CLASSES)
        if total[i].sum()
    ]
    return sum(found) / len(found)


def write_source(folder: Path, seed: int, right: float, backbone: str = 'swin') -> None:
    matrices = confusions(seed, right)
    record = {
        **{'backbone': backbone, 'seed': seed, 'weights_sha256': f'{backbone}{seed}'},
        'mIoU': miou(matrices),
        'ground_truth_pixels': matrices.sum(2).tolist(),
        'counts': counts_of(matrices),
    }
    write_record(folder / backbone / f'{SOURCE}_seed{seed}.json', record)


def write_run(
    folder: Path,
    row: str,
    seed: int,
    right: dict[int, float],
    checkpoints: dict[str, int],
    backbone: str = 'swin',
    seconds: float = 2.0,
) -> None:
    """Write a run's record.

    Args:
        folder: of all records.
        row: such as ``uni-uvpt_Head``.
        seed: of the run.
        right: share of pixels that are right, by iterations; that of 0 is the source's.
        checkpoints: such as ``last``, and the iteration of each.
        backbone: of the run.
        seconds: an iteration took.
    """
    method, _, tuner = row.partition('_')
    matrices = {iteration: confusions(seed, share) for iteration, share in right.items()}
    named = {'source': 0, **checkpoints}
    record = {
        **{'row': row, 'method': method, 'tuner': tuner or 'Prompts', 'backbone': backbone},
        'variant': None,
        **{'seed': seed, 'source_weights_sha256': f'{backbone}{seed}'},
        'mIoU': {name: miou(matrices[iteration]) for name, iteration in named.items()},
        'iteration': checkpoints,
        'parameters': {'trainable': 1234567, 'prompts': 1000},
        **{'iterations': 240, 'seconds_per_iteration': seconds},
        'counts': {str(i): counts_of(m) for i, m in matrices.items() if i},
    }
    write_record(folder / backbone / f'{row}_seed{seed}.json', record)
