# The demo's MiT with prompts.
_base_ = 'mit-nano_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # the demo names it
    tuner=dict(type='Prompts', heads=4, points=4, generator_channels=16, add_level_embedding=False),
)
