"""Source-free domain adaptive semantic segmentation with visual prompts.

Importing this package is cheap on purpose: ``import mmseg_uvpt.register`` is what loads mmseg
and puts the project's models, data sets, hooks and metrics into its registries. It is enough for
torchvision, and so for mmseg, to be importable beside a CPU build of torch, for yapf to be so while
other processes start, and for what mmcv and mmseg warn of without need to stay unsaid.
"""

import warnings
from typing import TYPE_CHECKING

from mmseg_uvpt.import_mends import mend_imports

if TYPE_CHECKING:
    from mmseg_uvpt.engine.inference.predictor import Predictor

__all__ = ['from_pretrained', 'load']
__version__ = '0.1.0'

mend_imports()

# mmcv without compiled operators is what this project asks for; deformable attention is its own
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
warnings.filterwarnings('ignore', message='`torch.jit.*is deprecated', category=DeprecationWarning)
# the published recipes average the loss over all pixels, ignored ones included, as is the default
warnings.filterwarnings('ignore', message='Default ``avg_non_ignore`` is False')


def load(
    config: str,
    checkpoint: str,
    device: str | None = None,
    amp: bool | None = None,
    full_size: bool = False,
) -> 'Predictor':
    """Return a source model or an adapted one that is called with images.

        model = mmseg_uvpt.load('uni_uvpt/sss_swin-b_gta5-to-cityscapes', 'file.pth')
        result = model('street.jpg')
        result.classes, result.confidence  # uint8 and float32 (H, W), at the size of the image
        result.save('seen.png')

    Args:
        config: file, or a shipped recipe by its name below ``configs``; the ``config.py`` of a
            work folder describes what was trained there.
        checkpoint: released file, or one of a work folder.
        device: such as ``'cuda:1'``; None for a GPU if there is one.
        amp: whether to compute in half precision where that is precise enough; None as the config
            says, which that of a training with ``--amp`` does.
        full_size: have the network see images at their own size, instead of resized as the config
            says; large ones in tiles.

    Returns:
        Predictor: its call takes one image or many, see there.

    Raises:
        mmseg_uvpt.errors.UserError: a file is missing, or the two do not fit.
    """
    from mmseg_uvpt.engine.config.resolve import read  # both take seconds
    from mmseg_uvpt.engine.inference.predictor import Predictor

    return Predictor(read(config), checkpoint, device, full_size, amp)


def from_pretrained(
    name: str,
    device: str | None = None,
    amp: bool | None = None,
    full_size: bool = False,
    revision: str | None = None,
) -> 'Predictor':
    """Return a model that `Predictor.save_pretrained` or `Predictor.push_to_hub` has written.

    Nothing that it reads is run: weights are safetensors, the config is plain values, and names
    nothing but parts that are registered.

    Args:
        name: a folder, or a repository of the Hugging Face hub such as ``'me/model'``.
        device, amp, full_size: of `load`.
        revision: of the repository: branch, tag or commit; None for the main branch.

    Raises:
        mmseg_uvpt.errors.UserError: it cannot be had, or is no such model.
    """
    from mmseg_uvpt.engine.sharing import pretrained  # takes seconds

    return pretrained.from_pretrained(name, device, amp, full_size, revision)
