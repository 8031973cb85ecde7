# MiT-B5 with prompts. The released MiT models hold a level embedding that they never add.
_base_ = 'mit-b5_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # each recipe names its own
    backbone=dict(init_cfg=None),  # its weights are the source model's
    tuner=dict(type='Prompts', points=4, add_level_embedding=False),
)
