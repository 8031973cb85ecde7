"""The source model: a staged backbone and a head, trained on labelled source images."""

from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from mmseg_uvpt.checkpoints.loading import CheckedLoading
from mmseg_uvpt.engine.inference.labels import PredictsLabels


@MODELS.register_module()
class SourceSegmentor(CheckedLoading, PredictsLabels, EncoderDecoder):
    """mmseg's `EncoderDecoder` that reads released checkpoints and refuses what does not fit."""
