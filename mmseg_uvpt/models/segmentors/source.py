"""The source model: a staged backbone and a head, trained on labelled source images."""

from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from mmseg_uvpt.models.checkpoints import CheckedLoading
from mmseg_uvpt.models.segmentors.labels import PredictsLabels


@MODELS.register_module()
class SourceSegmentor(CheckedLoading, PredictsLabels, EncoderDecoder):
    """mmseg's `EncoderDecoder` that reads released checkpoints and refuses what does not fit."""
