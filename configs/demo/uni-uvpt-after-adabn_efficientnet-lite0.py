"""The demo's adaptation from a model, and its labels, whose head has new statistics already."""

_base_ = 'uni-uvpt_efficientnet-lite0.py'
