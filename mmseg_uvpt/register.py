"""Importing this module puts everything of this project into mmseg's registries.

Configs name it in ``custom_imports``, so that any program that reads them can build the models.
"""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):  # it prints a debugging message
    import mmseg.datasets
import mmseg.models  # noqa: F401

import mmseg_uvpt.acceleration.async_copies
import mmseg_uvpt.augmentation.augmenting_preprocessor
import mmseg_uvpt.augmentation.collate
import mmseg_uvpt.checkpoints.loading
import mmseg_uvpt.correction.early_learning_hook
import mmseg_uvpt.correction.hook
import mmseg_uvpt.correction.offline
import mmseg_uvpt.datasets.cityscapes
import mmseg_uvpt.datasets.driving
import mmseg_uvpt.datasets.gta_synthia
import mmseg_uvpt.datasets.image_cache
import mmseg_uvpt.datasets.transforms
import mmseg_uvpt.engine.hooks.logged_numbers
import mmseg_uvpt.engine.hooks.renewal
import mmseg_uvpt.engine.hooks.selection
import mmseg_uvpt.engine.hooks.skipped_iterations
import mmseg_uvpt.engine.hooks.stream_scores
import mmseg_uvpt.engine.hooks.whole_checkpoint
import mmseg_uvpt.engine.inference.loop
import mmseg_uvpt.engine.training.optimizer
import mmseg_uvpt.engine.training.train_loop
import mmseg_uvpt.evaluation.calibration_metric
import mmseg_uvpt.evaluation.iou_metric
import mmseg_uvpt.methods.adabn
import mmseg_uvpt.methods.anchors
import mmseg_uvpt.methods.early_learning
import mmseg_uvpt.methods.information
import mmseg_uvpt.methods.mean_teacher
import mmseg_uvpt.methods.self_training
import mmseg_uvpt.methods.tent
import mmseg_uvpt.models.backbones.mit
import mmseg_uvpt.models.backbones.swin
import mmseg_uvpt.models.backbones.timm.convnext
import mmseg_uvpt.models.backbones.timm.efficientnet
import mmseg_uvpt.models.backbones.timm.pvt
import mmseg_uvpt.models.backbones.timm.swin
import mmseg_uvpt.models.backbones.timm.vit
import mmseg_uvpt.models.decode_heads.daformer
import mmseg_uvpt.models.decode_heads.linear_segformer
import mmseg_uvpt.models.losses.cross_entropy
import mmseg_uvpt.models.segmentors.source
import mmseg_uvpt.models.segmentors.source_gta
import mmseg_uvpt.models.segmentors.uni_uvpt
import mmseg_uvpt.models.tuners.adaptformer
import mmseg_uvpt.models.tuners.lora
import mmseg_uvpt.models.tuners.pixel_prompt
import mmseg_uvpt.models.tuners.prompts
import mmseg_uvpt.models.tuners.rein
import mmseg_uvpt.models.tuners.token_prompts  # noqa: F401
