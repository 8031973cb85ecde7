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
FAST = ('swin', 'mit', 'convnext')


def _parameters(described: dict[str, dict]) -> list:
    return [
        pytest.param(staged, id=name, marks=() if name in FAST else pytest.mark.slow)
        for name, staged in described.items()
    ]


TIMM = _parameters(_TIMM)
BY_NAME = _parameters(OURS | _TIMM)
