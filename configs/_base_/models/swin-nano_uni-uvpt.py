# The demo's Swin with prompts.
_base_ = 'swin-nano_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # the demo names it
    tuner=dict(type='Prompts', heads=4, points=4, generator_channels=16),
)
