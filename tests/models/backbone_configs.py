"""Small models of each family of staged backbones, as parameters of tests.

Those of a few families run in the fast suite, the others among the slow tests.
"""

import pytest

WIDTHS = (16, 32, 64, 128)
NANO = dict(depths=(1, 1, 2, 1), drop_path_rate=0.1)
OURS = {
    'swin': dict(
        type='StagedSwin',
        embed_dims=16,
        depths=(2,) * 4,
        num_heads=(2, 2, 4, 4),
        window_size=4,
        drop_path_rate=0.1,
    ),
    'mit': dict(
        type='StagedMiT', widths=WIDTHS, depths=(1,) * 4, num_heads=(1, 2, 4, 8), drop_path_rate=0.1
    ),
}
WINDOWS = dict(embed_dim=16, num_heads=(2, 2, 4, 4), window_size=4, img_size=64)
_TIMM = {
    'convnext': dict(type='TimmConvNeXt', model='convnext_atto', dims=WIDTHS, **NANO),
    'convnextv2': dict(type='TimmConvNeXt', model='convnextv2_atto', dims=WIDTHS, **NANO),
    'efficientnet': dict(type='TimmEfficientNet', model='tf_efficientnet_lite0'),
    'pvt': dict(
        type='TimmPVT', model='pvt_v2_b0', embed_dims=WIDTHS, num_heads=(1, 2, 4, 8), **NANO
    ),
    'swin-timm': dict(type='TimmSwin', model='swin_tiny_patch4_window7_224', **WINDOWS, **NANO),
    'swinv2': dict(type='TimmSwin', model='swinv2_tiny_window8_256', **WINDOWS, **NANO),
}
PLAIN = dict(type='TimmViT', embed_dim=32, depth=5, num_heads=2, img_size=56, drop_path_rate=0.1)
_TIMM |= {
    'vit': dict(PLAIN, model='vit_tiny_patch16_224', img_size=64),
    'clip': dict(PLAIN, model='vit_base_patch16_clip_224', img_size=64),
    'siglip': dict(PLAIN, model='vit_base_patch16_siglip_224', img_size=64),
    'dinov2': dict(PLAIN, model='vit_small_patch14_dinov2'),
    'dinov2-registers': dict(PLAIN, model='vit_small_patch14_reg4_dinov2'),
    'dinov3': dict(PLAIN, model='vit_small_patch16_dinov3', img_size=64),
    'eva02': dict(PLAIN, model='eva02_tiny_patch14_224'),
}
_IMPORTED = {  # variations that models of other programs have
    'convnext-norms': dict(_TIMM['convnext'], stage_norms=True),
    'mit-eps': dict(OURS['mit'], eps=1e-3, embedding_eps=1e-4),
}
FAST = ('mit', 'convnext', 'vit')  # Swin is what most other tests are of


def _parameters(described: dict[str, dict]) -> list:
    return [
        pytest.param(staged, id=name, marks=() if name in FAST else pytest.mark.slow)
        for name, staged in described.items()
    ]


TIMM = _parameters(_TIMM)
BY_NAME = _parameters(OURS | _TIMM | _IMPORTED)
