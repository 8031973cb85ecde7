"""Where version 0.1 had the source data sets, from which users' own derive."""

from mmseg_uvpt.datasets.gta_synthia import GTADataset, SynthiaDataset

__all__ = ['GTADataset', 'SynthiaDataset']
