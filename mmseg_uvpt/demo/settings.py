"""What a demo run is made with: method, what is tuned, ablation, backbone, seed.

A method is a config of adaptation, ``configs/demo/<method>_<model>.py``, and perhaps another method
that goes before it: chains of any length are named by their last link.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from mmseg_uvpt.demo.backbones import BACKBONES
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.shipped import shipped


class Method(NamedTuple):
    """How an adaptation begins.

    Attributes:
        after: the method whose model this one takes for its source model, and lets label its
            images; None: the source model.
        config: the method whose config this one takes; None: its own.
        labelling: options of generate_pseudo_label.py for labels of its own. Without any, and with
            no method before it, it shares the plain labels of the source model.
    """

    after: str | None = None
    config: str | None = None
    labelling: tuple[str, ...] = ()


FULL, STATISTICS = 'uni-uvpt', 'adabn'  # with which the others are compared
METHODS = {
    FULL: Method(),
    STATISTICS: Method(),
    'adabn-model': Method(),  # of the backbone, too, where it has batch norms
    'self-training': Method(),
    'self-training-threshold': Method(config='self-training', labelling=('--threshold', '0.9')),
    'self-training-class-balanced': Method(
        config='self-training', labelling=('--class-quantile', '0.5')
    ),
    'mean-teacher': Method(),
    'tent': Method(),
    'information': Method(),
    'uni-uvpt-after-adabn': Method(after=STATISTICS),
    'best': Method(),
}

PROMPTS = 'Prompts'  # the tuner of the full method
TUNERS = (
    *(PROMPTS, 'Head', 'All', 'Norm', 'Bias', 'Statistics', 'TokenPrompts', 'PixelPrompt', 'LoRA'),
    *('AdaptFormer', 'Rein'),
)
UNFIT = {  # backbones of the demo that a tuner does not fit
    'TokenPrompts': ('convnext', 'pvt', 'swinv2', 'efficientnet-lite0'),
    'LoRA': ('convnext', 'swinv2', 'efficientnet-lite0'),
    'AdaptFormer': ('convnext', 'efficientnet-lite0'),
}


@dataclass(frozen=True)
class Settings:
    """What a demo run is made with; the recipe itself stands in configs/demo.

    Attributes:
        seed: of the rendered data and of both trainings.
        backbone: one of `BACKBONES`.
        train_frames: frames of each training set.
        val_frames: labelled target frames for the score.
        method: of the adaptation, one of `METHODS`.
        tuner: of the adaptation, one of `TUNERS`; None: that of the method's config.
        variant: of the full method, an ablation of configs/ablations; None: none.
        source: how the source model is pretrained: ``'sss'`` (standard single source) or ``'gta'``
            (generalise-then-adapt).
        iterations: of both trainings, for a quick look; None for the recipe's.
    """

    seed: int = 0
    backbone: str = 'efficientnet-lite0'
    train_frames: int = 240
    val_frames: int = 60
    method: str = FULL
    tuner: str | None = None
    variant: str | None = None
    source: str = 'sss'
    iterations: int | None = None

    def but(self, **changes: object) -> 'Settings':
        """Return these settings with others of their attributes."""
        return replace(self, **changes)

    @property
    def former(self) -> 'Settings | None':
        """Those of the method that goes before this one, if one does."""
        after = METHODS[self.method].after
        return self.but(method=after, tuner=None, variant=None) if after else None

    @property
    def other_tuner(self) -> str | None:
        """The tuner where it is not that of the method's config."""
        return None if (self.method, self.tuner) == (FULL, PROMPTS) else self.tuner

    @property
    def row(self) -> str:
        """What names the run in tables, with backbone and seed."""
        return '_'.join(filter(None, (self.method, self.other_tuner, self.variant)))

    @property
    def folder(self) -> str:
        """Name of the work folder of the adaptation, beside that of its source model."""
        method = 'adapt' if self.method == FULL else self.method
        tuned = '-'.join(filter(None, (method, (self.other_tuner or '').lower())))
        return '_'.join(filter(None, (tuned, self.variant)))

    @property
    def run_folder(self) -> str:
        """Name of the folder of all runs with this source model: its data, and work folders."""
        kind = self.backbone if self.source == 'sss' else f'{self.backbone}-gta'
        return f'{kind}-seed{self.seed}'

    @property
    def pretraining(self) -> str:
        """Config of the source model."""
        name = {'sss': 'pretrain', 'gta': 'pretrain-gta'}[self.source]
        return f'configs/demo/{name}_{BACKBONES[self.backbone]}.py'

    @property
    def adaptation(self) -> str:
        """Config of the adaptation."""
        config = METHODS[self.method].config or self.method
        return f'configs/demo/{config}_{BACKBONES[self.backbone]}.py'

    @property
    def shortened(self) -> list[str]:
        """Entries of a config that cut its training to ``iterations``."""
        return [f'train_cfg.max_iters={self.iterations}'] if self.iterations else []

    def require_fit(self) -> None:
        """Raise a `UserError` unless the backbone has a pretraining of that kind."""
        if not shipped(self.pretraining).is_file():
            raise UserError(
                f'--source {self.source} does not go with --backbone {self.backbone}: there is '
                f'no {self.pretraining}. Take --backbone swin, or --source sss.'
            )
