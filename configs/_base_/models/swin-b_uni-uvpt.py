# Swin-B with prompts: the frozen source model, prompt generator and a prompt adapter a stage.
_base_ = 'swin-b_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # each recipe names its own
    backbone=dict(init_cfg=None),  # its weights are the source model's
    tuner=dict(type='Prompts', points=4),
)
