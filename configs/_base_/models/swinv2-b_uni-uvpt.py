# Swin V2-B with prompts.
_base_ = 'swinv2-b_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # train.py is given it
    backbone=dict(init_cfg=None),  # its weights are the source model's
    tuner=dict(type='Prompts'),
)
