"""Test-time augmentation: a config's ``tta_pipeline`` in the place of a data loader's own."""

from mmengine.config import Config

from mmseg_uvpt.engine.config.pipelines import without_labels
from mmseg_uvpt.errors import UserError


def use_tta_pipeline(cfg: Config, loader: str, with_labels: bool = True) -> None:
    """Have a data loader give each image in the views of ``tta_pipeline``, in place.

    Args:
        cfg: resolved config.
        loader: name of its entry.
        with_labels: whether labels are loaded, where the pipeline does so.

    Raises:
        UserError: the config has no ``tta_pipeline``, or a model that averages by itself.
    """
    if 'tta_pipeline' not in cfg:
        raise UserError(
            f'--aug-test needs tta_pipeline, which {cfg.filename} lacks; '
            'configs/_base_/datasets/cityscapes.py has it'
        )
    if (cfg.get('tta_model') or {}).get('type', 'SegTTAModel') != 'SegTTAModel':
        raise UserError('--aug-test averages the views of tta_pipeline itself: remove tta_model')
    pipeline = cfg.tta_pipeline
    cfg[loader].dataset.pipeline = pipeline if with_labels else without_labels(pipeline)
