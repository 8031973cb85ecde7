# Swin-B with prompts: the frozen source model, prompt generator and a prompt adapter a stage.
_base_ = 'swin-b_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # each recipe names its own
    tune='prompts',
    backbone=dict(
        _delete_=True,
        type='PromptedBackbone',
        staged=dict(
            type='StagedSwin',
            embed_dims=128,
            depths=(2, 2, 18, 2),
            num_heads=(4, 8, 16, 32),
            window_size=7,
            drop_path_rate=0.3,
        ),
        heads=16,
        points=4,
        add_level_embedding=True,
    ),
)
