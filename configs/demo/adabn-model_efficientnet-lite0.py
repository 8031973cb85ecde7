"""New statistics in all batch norms, no training; see tools/demo.py."""

_base_ = 'adabn_efficientnet-lite0.py'

model = dict(parts='model')
