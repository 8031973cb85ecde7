# MiT-B5 with prompts. The released MiT models hold a level embedding that they never add.
_base_ = 'mit-b5_source.py'

model = dict(
    type='UniUVPT',
    source_checkpoint=None,  # each recipe names its own
    tune='prompts',
    backbone=dict(
        _delete_=True,
        type='PromptedBackbone',
        staged=dict(
            type='StagedMiT',
            widths=(64, 128, 320, 512),
            depths=(3, 6, 40, 3),
            num_heads=(1, 2, 5, 8),
            reductions=(8, 4, 2, 1),
            mlp_ratio=4,
            drop_path_rate=0.1,
        ),
        heads=16,
        points=4,
        add_level_embedding=False,
    ),
)
