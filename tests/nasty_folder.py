"""A folder of photographs as people have them."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

GOOD = [  # names that can be used, in order
    *('holiday/day 2/turned.jpg', 'holiday/grey.png', 'holiday/wide.webp', 'look_0.png'),
    *('look_1.png', 'street.JPG', 'täler.tif', 'video/frame_0.png', 'video/frame_1.png'),
]


def scene(seed: int, size: tuple[int, int] = (64, 96)) -> np.ndarray:
    """Return smooth colours, uint8 (H, W, 3)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 255, (4, 6, 3)).astype(np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)


def make_nasty_folder(folder: Path) -> Path:
    """Write photographs of many kinds, and what is none; of the former `GOOD` can be used."""
    for name in ('holiday/day 2', 'video', '.thumbnails'):
        (folder / name).mkdir(parents=True)
    turned = Image.fromarray(scene(1))
    exif = Image.Exif()
    exif[0x0112] = 6  # it was held upright
    turned.save(folder / 'holiday/day 2/turned.jpg', exif=exif, quality=95)
    Image.fromarray(scene(2)).convert('L').save(folder / 'holiday/grey.png')
    Image.fromarray(scene(3, (48, 192))).save(folder / 'holiday/wide.webp')
    Image.fromarray(scene(4, (128, 192))).save(folder / 'street.JPG', quality=95)
    Image.fromarray(scene(5)).save(folder / 'täler.tif')
    for i in range(2):
        Image.fromarray(scene(6 + i)).save(folder / f'look_{i}.png')
        frame = scene(8)
        frame[10:14, 10 + i : 14 + i] = 255  # what moves is small
        Image.fromarray(frame).save(folder / f'video/frame_{i}.png')

    Image.fromarray(scene(6)).save(folder / 'look_0_again.bmp')  # the same pixels
    for i, name in enumerate(('street.png', 'street_classes.png')):  # the names of another's files
        Image.fromarray(scene(9 + 20 * i)).save(folder / name)
    Image.fromarray(scene(12)[..., 0]).save(folder / 'look_1_labelTrainIds.png')
    Image.fromarray(scene(10, (16, 16))).save(folder / 'icon.png')
    Image.fromarray(scene(11, (40, 400))).save(folder / 'panorama.png')
    whole = (folder / 'street.JPG').read_bytes()
    (folder / 'cut.jpg').write_bytes(whole[: len(whole) // 2])
    (folder / 'empty.png').touch()
    (folder / 'clip.mp4').write_bytes(b'no video')
    (folder / 'raw.dng').write_bytes(b'raw')
    (folder / 'notes.txt').write_text('no image')
    (folder / '.thumbnails/small.png').write_bytes((folder / 'look_0.png').read_bytes())
    return folder
