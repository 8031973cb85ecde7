"""Test-time augmentation: a config's ``tta_pipeline`` in the place of a data loader's own."""

from mmcv.transforms import LoadAnnotations
from mmengine.config import Config
from mmseg.registry import TRANSFORMS

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


def without_labels(steps: list) -> list:
    """Return transforms, or lists of alternatives within them, without those that load labels."""
    found = []
    for step in steps:
        if isinstance(step, list | tuple):
            if not (step := without_labels(step)):  # of no alternatives there would be no view
                continue
        elif _loads_labels(step):
            continue
        elif 'transforms' in step:
            step = {**step, 'transforms': without_labels(step['transforms'])}
        found.append(step)
    return found


def _loads_labels(step: dict) -> bool:
    kind = step['type']
    kind = TRANSFORMS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, LoadAnnotations)
