"""Time the augmentation of training batches: the one that is drawn against all of them.

The published code computes every augmentation of every image and uses one. Networks have random
weights, which does not change their time. Snow, frost and cartoon are timed where imaug is there.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch


def fda_by_numpy(image: np.ndarray, beta: float = 0.005) -> np.ndarray:
    """Do what `exchange_amplitude` does, with noise, for one image (3, H, W)."""
    half = int(beta * min(image.shape[1:]))
    spectrum = np.fft.fft2(image / np.float32(255))
    noise = np.random.uniform(1, 255, image.shape)  # noqa: NPY002
    wanted = np.abs(np.fft.fft2(noise / np.float32(255)))
    amplitude, ends = np.abs(spectrum), np.arange(-half, half + 1)
    amplitude[:, ends[:, None], ends] = wanted[:, ends[:, None], ends]
    return np.fft.ifft2(amplitude * np.exp(1j * np.angle(spectrum))).real


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example: python benchmarks/augmentations.py --side 256',
    )
    parser.add_argument('--side', type=int, default=512, help='of the crops [%(default)s]')
    parser.add_argument('--batch', type=int, default=2, help='[%(default)s]')
    parser.add_argument('--rounds', type=int, default=5, help='the median counts [%(default)s]')
    args = parser.parse_args()

    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    import mmseg_uvpt.register  # noqa: F401
    from mmseg_uvpt.augmentation import corruptions
    from mmseg_uvpt.augmentation.adain import AdaIN
    from mmseg_uvpt.augmentation.augmentations import AUGMENTATIONS, CORRUPTIONS
    from mmseg_uvpt.augmentation.augmenting_preprocessor import AugmentingPreprocessor
    from mmseg_uvpt.augmentation.collate import augmented_collate
    from mmseg_uvpt.augmentation.style_randomisation import StyleRandomisation
    from mmseg_uvpt.errors import UserError
    from mmseg_uvpt.minicity.paintings import paint_all

    names = list(AUGMENTATIONS)
    try:
        corruptions.require()
    except UserError as error:
        names = [name for name in names if name not in CORRUPTIONS]
        print(f'not measured: {", ".join(CORRUPTIONS)}: {error}\n')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    part = AugmentingPreprocessor(mean=[0.0] * 3, std=[1.0] * 3, size_divisor=1).to(device)
    part._networks = {'adain': AdaIN(), 'style_randomisation': StyleRandomisation()}
    torch.manual_seed(0)

    def batch() -> list[dict]:
        shape = (3, args.side, args.side)
        samples = []
        for _ in range(args.batch):
            sample = SegDataSample(metainfo={'img_shape': shape[1:]})
            sample.gt_sem_seg = PixelData(data=torch.zeros(1, *shape[1:], dtype=torch.long))
            image = torch.randint(0, 256, shape, dtype=torch.uint8)
            samples.append({'inputs': image, 'data_samples': sample})
        return samples

    with tempfile.TemporaryDirectory() as styles:
        paint_all(Path(styles), 4, seed=0)

        def seconds(*drawn_from: list[str]) -> float:
            """Augment a batch once by each of some lists of names; return the time."""
            batches = [batch() for _ in drawn_from]
            start = time.perf_counter()
            for samples, of in zip(batches, drawn_from, strict=True):
                data = part(augmented_collate(samples, of, styles), training=True)
                float(data['inputs'].sum())
            return time.perf_counter() - start

        each = {name: [] for name in names}
        one, every, in_worker = [], [], []
        for number in range(args.rounds + 1):
            np.random.seed(number)  # noqa: NPY002 (what workers seed)
            found = {name: seconds([name]) for name in names}
            drawn = [seconds(names) for _ in names]
            together = seconds(*([name] for name in names))
            start = time.perf_counter()
            for sample in batch():
                fda_by_numpy(sample['inputs'].numpy())
            worker = time.perf_counter() - start
            if number:  # the first round warms up
                for name in names:
                    each[name].append(found[name])
                one += drawn
                every.append(together)
                in_worker.append(worker)
    print(f'{args.batch} crops of {args.side} x {args.side}, {device}\n')
    print('| augmentation | ms a batch |\n|---|---|')
    for name, times in each.items():
        print(f'| {name} | {1e3 * statistics.median(times):.0f} |')
    print(f'| fda_random in numpy, as a worker would | {1e3 * statistics.median(in_worker):.0f} |')
    for name, mean in (
        ('one drawn at random, mean', statistics.mean(one)),
        ('all of them, mean', statistics.mean(every)),
    ):
        print(f'| {name} | {1e3 * mean:.0f}: {args.batch / mean:.2f} images a second |')


if __name__ == '__main__':
    main()
