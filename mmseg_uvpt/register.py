"""Importing this module puts everything of this project into mmseg's registries.

Configs name it in ``custom_imports``, so that any program that reads them can build the models.
"""

import contextlib
import io
import warnings

# mmcv without compiled operators is what this project asks for; deformable attention is its own
warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
warnings.filterwarnings('ignore', message='`torch.jit.*is deprecated', category=DeprecationWarning)
# the published recipes average the loss over all pixels, ignored ones included, as is the default
warnings.filterwarnings('ignore', message='Default ``avg_non_ignore`` is False')

with contextlib.redirect_stdout(io.StringIO()):  # it prints a debugging message
    import mmseg.datasets
import mmseg.models  # noqa: E402, F401

import mmseg_uvpt.acceleration.async_copies  # noqa: E402
import mmseg_uvpt.augmentation.augmenting_preprocessor  # noqa: E402
import mmseg_uvpt.augmentation.collate  # noqa: E402
import mmseg_uvpt.checkpoints.loading  # noqa: E402
import mmseg_uvpt.correction.hook  # noqa: E402
import mmseg_uvpt.datasets.cityscapes  # noqa: E402
import mmseg_uvpt.datasets.gta_synthia  # noqa: E402
import mmseg_uvpt.datasets.image_cache  # noqa: E402
import mmseg_uvpt.datasets.transforms  # noqa: E402
import mmseg_uvpt.engine.hooks.logged_numbers  # noqa: E402
import mmseg_uvpt.engine.hooks.skipped_iterations  # noqa: E402
import mmseg_uvpt.engine.hooks.whole_checkpoint  # noqa: E402
import mmseg_uvpt.engine.inference.loop  # noqa: E402
import mmseg_uvpt.engine.training.optimizer  # noqa: E402
import mmseg_uvpt.engine.training.train_loop  # noqa: E402
import mmseg_uvpt.evaluation.iou_metric  # noqa: E402
import mmseg_uvpt.models.backbones.mit  # noqa: E402
import mmseg_uvpt.models.backbones.swin  # noqa: E402
import mmseg_uvpt.models.backbones.timm_pvt  # noqa: E402
import mmseg_uvpt.models.decode_heads.daformer  # noqa: E402
import mmseg_uvpt.models.losses.cross_entropy  # noqa: E402
import mmseg_uvpt.models.prompts.prompted_backbone  # noqa: E402
import mmseg_uvpt.models.segmentors.source  # noqa: E402
import mmseg_uvpt.models.segmentors.source_gta  # noqa: E402
import mmseg_uvpt.models.segmentors.uni_uvpt  # noqa: E402, F401
