"""Each option of docs/options.md, given to its recipe as a script would: what is built has it."""

import functools
import re
from argparse import Namespace
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.config import DictAction
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import Runner
from mmseg.registry import HOOKS, LOOPS, MODELS, TRANSFORMS

from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.inference.result import temperature_in
from mmseg_uvpt.models.losses.consistency import mix, prediction_consistency, prompt_consistency
from mmseg_uvpt.models.losses.entropy import entropy_regulariser
from mmseg_uvpt.models.segmentors.adaptation import Views
from mmseg_uvpt.models.tuners.prompts import GENERATORS
from mmseg_uvpt.ops.lovasz import lovasz_softmax
from mmseg_uvpt.shipped import CHECKOUT as REPOSITORY

RECIPES = {
    'adapt': 'uni_uvpt/sss_swin-b_gta5-to-cityscapes.py',
    'source': 'pretrain/sss_swin-b_gta5.py',
    'gta': 'pretrain/source-gta_swin-b_gta5.py',
}
SWIN = ('embed_dims=8', 'depths=(1,1,1,1)', 'num_heads=(1,1,2,2)')
HEAD = ('model.decode_head.in_channels=(8,16,32,64)', 'model.decode_head.channels=8')
SMALL = {
    'adapt': (
        *(f'model.backbone.{option}' for option in SWIN),
        *('model.tuner.heads=4', 'model.tuner.generator_channels=8', *HEAD),
    ),
    'source': (*(f'model.backbone.{option}' for option in SWIN), *HEAD),
}
SMALL['gta'] = SMALL['source']
SHRUNK = {'model.tuner.heads', 'model.tuner.generator_channels'}  # by SMALL
TABLE = (REPOSITORY / 'docs/options.md').read_text()
ROWS = [
    (option, recipe)
    for option, recipes in re.findall(r'^\| [^|]+ \| `([^`]+)` \| ([a-z, ]+) \|$', TABLE, re.M)
    for recipe in recipes.split(', ')
]


def resolved(recipe: str, *options: str):
    path = str(REPOSITORY / 'configs' / RECIPES[recipe])
    return resolve(Namespace(config=path, data_root=None, cfg_options=options))


class Built:
    """What the scripts build of a recipe's config, of nano size."""

    def __init__(self, recipe: str, *options: str):
        init_default_scope('mmseg')
        small = SMALL[recipe]
        if any(option.startswith('model.tuner.type') for option in options):  # it has no adapters
            small = [option for option in small if not option.startswith('model.tuner.')]
        self.cfg = resolved(recipe, *small, *options)

    @functools.cached_property
    def model(self):
        return MODELS.build(self.cfg.model)

    @functools.cached_property
    def wrapper(self):
        return build_optim_wrapper(self.model, self.cfg.optim_wrapper)

    def group(self, start: str, norm: bool = False) -> dict:
        """Return the optimiser's group of the first parameter whose name begins so."""
        parameters = {
            id(p)
            for n, p in self.model.named_parameters()
            if n.startswith(start) and p.requires_grad and norm == ('norm' in n or '.bn.' in n)
        }
        groups = self.wrapper.optimizer.param_groups
        return next(g for g in groups if parameters & {id(p) for p in g['params']})

    @property
    def base(self) -> dict:
        """The group without a factor."""
        return self.group('scale_weights' if hasattr(self.model, 'scale_weights') else 'backbone')

    def factor(self, start: str) -> float:
        return self.group(start)['lr'] / self.cfg.optim_wrapper.optimizer.lr

    def rate(self, iteration: int) -> float:
        """Return what the schedule makes of a rate of 1 after so many iterations."""
        sgd = OPTIMIZERS.build({'type': 'SGD', 'params': [torch.zeros(1)], 'lr': 1.0})
        sgd.step()
        parts = [PARAM_SCHEDULERS.build({**p, 'optimizer': sgd}) for p in self.cfg.param_scheduler]
        for _ in range(iteration):
            for part in parts:
                part.step()
        return sgd.param_groups[0]['lr']

    @property
    def loop(self):
        return LOOPS.build(
            self.cfg.train_cfg,
            default_args={'runner': Mock(), 'dataloader': torch.utils.data.DataLoader([0])},
        )

    def step(self, name: str):
        """Return the one transform of a name in the training's pipeline; None without it."""
        pipeline = self.cfg.train_dataloader.dataset.pipeline
        found = [TRANSFORMS.build(step) for step in pipeline if step.type == name]
        return found[0] if found else None

    @property
    def loader(self):
        return Runner.build_dataloader({**self.cfg.train_dataloader, 'dataset': [0] * 9})

    def hook(self, name: str):
        return HOOKS.build(self.cfg.default_hooks[name])

    @property
    def seed(self) -> int:
        runner = SimpleNamespace()
        with torch.random.fork_rng():
            Runner.set_randomness(runner, **self.cfg.randomness)
        return runner._seed

    def attention(self):
        return self.model.backbone.adapters[0].injector.attn


def _tuned(built: Built) -> str:
    """Return whether the source model's backbone is tuned."""
    backbone = built.model.backbone.staged
    return 'all' if all(p.requires_grad for p in backbone.parameters()) else 'prompts'


def _generator(built: Built) -> str:
    return {kind: name for name, kind in GENERATORS.items()}[type(built.model.backbone.generator)]


def _drop_paths(part: torch.nn.Module) -> list[float]:
    return [m.drop_prob for m in part.modules() if type(m).__name__ == 'DropPath']


def _views(confidence: float) -> Views:
    """Return views of 2 x 2 pixels, all as confident everywhere, that differ in what is left."""
    torch.manual_seed(0)
    logits = []
    for view in range(3):
        probabilities = torch.full((1, 19, 2, 2), 1e-6, dtype=torch.float64)
        probabilities[:, view] = 1 - confidence - 17e-6
        probabilities[:, 4] = confidence
        logits.append(probabilities.log())
    prompts = [tuple(torch.rand(1, 3, 2, 2) for _ in range(3))]
    labels = torch.tensor([[[4, 4], [2, 255]]])
    images = torch.zeros(1, 3, 2, 2)
    return Views(0, images, None, labels, None, logits, [], prompts, torch.ones(3))


def _weight(built: Built, which: str) -> float:
    """Return by what a term of the loss is multiplied."""
    views = _views(0.97)
    logs = [logits.log_softmax(1) for logits in views.logits]
    probabilities = [log.exp() for log in logs]
    losses = built.model.loss_by_views(views)
    if which == 'prompt':
        return losses['loss_prompt_consistency_0'] / prompt_consistency(views.prompts[0])
    if which == 'prediction':
        mixture = mix(probabilities, views.scale_weights)
        plain = prediction_consistency(probabilities, logs, mixture, views.labels)
        return losses['loss_prediction_consistency'] / plain
    entropy = entropy_regulariser(probabilities[0], logs[0])
    lovasz = lovasz_softmax(probabilities[0], views.labels)
    if which == 'self_training':
        return losses['loss_self_training'] / (lovasz + built.model.entropy_weight * entropy)
    return (losses['loss_self_training'] - lovasz) / entropy


def _floor(built: Built) -> float:
    """Return in hundredths from which confidence on the prediction consistency counts pixels."""
    losses = built.model.loss_by_views
    counts = (n / 100 for n in range(50, 100))
    return next(c for c in counts if losses(_views(c + 1e-5))['loss_prediction_consistency'] > 0)


LR, STEPS = 'optim_wrapper.paramwise_cfg.lr_mult', 'train_dataloader.dataset.pipeline'
CORRECTION, CHECKPOINT = 'default_hooks.label_correction', 'default_hooks.checkpoint'
# the key of an option: what is built has its value here
FOUND = {
    'optim_wrapper.optimizer.lr': lambda b: b.base['lr'],
    f'{LR}.prompts': lambda b: b.factor('backbone.adapters'),
    f'{LR}.head': lambda b: b.factor('decode_head'),
    f'{LR}.scale_weights': lambda b: b.factor('scale_weights'),
    'optim_wrapper.optimizer.weight_decay': lambda b: b.base['weight_decay'],
    'optim_wrapper.paramwise_cfg.norm_decay_mult': lambda b: (
        b.group('decode_head', norm=True)['weight_decay'] / 0.01
    ),
    'optim_wrapper.optimizer.betas': lambda b: b.base['betas'],
    'optim_wrapper.clip_grad.max_norm': lambda b: (b.wrapper.clip_grad_kwargs or {}).get(
        'max_norm'
    ),
    'optim_wrapper.accumulative_counts': lambda b: b.wrapper._accumulative_counts,
    'train_cfg.max_iters': lambda b: b.loop.max_iters if b.rate(1000) < 1e-3 < b.rate(900) else 0,
    'param_scheduler.LinearLR.end': lambda b: 96 + sum(b.rate(i) < 0.99 for i in range(95, 105)),
    'param_scheduler.LinearLR.start_factor': lambda b: b.rate(0),
    'param_scheduler.LinearLR': lambda b: None if b.rate(0) == 1 else b.rate(0),
    'param_scheduler.PolyLR.power': lambda b: b.cfg.param_scheduler[1].power,
    'param_scheduler.CosineAnnealingLR.eta_min_ratio': lambda b: b.rate(80000),
    'train_dataloader.batch_size': lambda b: b.loader.batch_size,
    f'{STEPS}.Resize.scale': lambda b: b.step('Resize').scale,
    f'{STEPS}.CropWithBox.crop_size': lambda b: b.step('CropWithBox').crop_size,
    f'{STEPS}.RandomCrop.crop_size': lambda b: b.step('RandomCrop').crop_size,
    f'{STEPS}.CropWithBox.cat_max_ratio': lambda b: b.step('CropWithBox').cat_max_ratio,
    f'{STEPS}.RandomCrop.cat_max_ratio': lambda b: b.step('RandomCrop').cat_max_ratio,
    f'{STEPS}.RandomFlip.prob': lambda b: b.step('RandomFlip').prob,
    f'{STEPS}.PhotoMetricDistortion.hue_delta': lambda b: b.step('PhotoMetricDistortion').hue_delta,
    f'{STEPS}.PhotoMetricDistortion': lambda b: b.step('PhotoMetricDistortion'),
    'model.test_cfg.temperature': lambda b: temperature_in(b.model.test_cfg),
    'model.tuner.type': lambda b: type(b.model.backbone).__name__,
    'model.tuner.tune': _tuned,
    'model.tuner.generator': _generator,
    'model.tuner.interactors': lambda b: len(b.model.backbone.adapters),
    'model.backbone.drop_path_rate': lambda b: max(_drop_paths(b.model.backbone)),
    'model.decode_head.dropout_ratio': lambda b: b.model.decode_head.dropout.p,
    'model.tuner.heads': lambda b: b.attention().heads,
    'model.tuner.points': lambda b: b.attention().points,
    'model.tuner.generator_channels': lambda b: b.model.backbone.generator.stem[0].out_channels,
    'model.tuner.add_level_embedding': lambda b: b.model.backbone.level_embedding.requires_grad,
    'model.self_training_weight': lambda b: _weight(b, 'self_training'),
    'model.entropy_weight': lambda b: _weight(b, 'entropy'),
    'model.prediction_weight': lambda b: _weight(b, 'prediction'),
    'model.prompt_weight': lambda b: _weight(b, 'prompt'),
    'model.view_scales': lambda b: b.model.view_scales[: len(b.model.scale_weights)],
    'model.confidence_floor': _floor,
    'model.lovasz_bins': lambda b: b.model.lovasz.bins,
    'model.decode_head.loss_decode.class_weight': lambda b: list(
        b.model.decode_head.loss_decode.class_weight or ()
    ),
    f'{CORRECTION}.interval': lambda b: b.hook('label_correction').make_rule(9).interval,
    f'{CORRECTION}.queue_length': lambda b: (
        b.hook('label_correction').make_rule(9)._settings['queue_length']
    ),
    f'{CORRECTION}.slope': lambda b: b.hook('label_correction').make_rule(9).slope,
    f'{CORRECTION}.quantile': lambda b: b.hook('label_correction').quantile,
    f'{CORRECTION}.type': lambda b: type(b.hook('label_correction')).__name__,
    'model.type': lambda b: type(b.model).__name__,
    'model.weight': lambda b: b.model.weight,
    'model.momentum': lambda b: b.model.momentum,
    f'{CORRECTION}.record': lambda b: b.hook('label_correction').earlier_run,
    f'{CORRECTION}.slope_change': lambda b: b.hook('label_correction').slope_change,
    f'{CORRECTION}.confidence': lambda b: b.hook('label_correction').confidence,
    'train_dataloader.collate_fn.augmentations': lambda b: b.loader.collate_fn.keywords[
        'augmentations'
    ],
    'model.data_preprocessor.adain_strength': lambda b: b.model.data_preprocessor.strengths[
        'adain'
    ],
    'model.data_preprocessor.style_strength': lambda b: b.model.data_preprocessor.strengths[
        'style_randomisation'
    ],
    'model.data_preprocessor.fda_beta': lambda b: b.model.data_preprocessor.fda_beta,
    'randomness.seed': lambda b: b.seed,
    'train_cfg.val_interval': lambda b: b.loop.val_interval,
    f'{CHECKPOINT}.interval': lambda b: b.hook('checkpoint').interval,
    f'{CHECKPOINT}.max_keep_ckpts': lambda b: b.hook('checkpoint').max_keep_ckpts,
    f'{CHECKPOINT}.save_best': lambda b: b.hook('checkpoint').key_indicators[0],
    'default_hooks.selection.select': lambda b: b.hook('selection').select,
    'default_hooks.selection.images': lambda b: b.hook('selection').images,
}


plain = functools.cache(Built)


def test_the_table_is_the_list():
    assert {option.split()[-1].partition('=')[0] for option, _ in ROWS} == set(FOUND)
    assert {recipe for _, recipe in ROWS} == set(RECIPES)


def _cases() -> list:
    """Return the rows; an option that another recipe has shown already is a slow test."""
    options = [option for option, _ in ROWS]
    return [
        pytest.param(*row, marks=pytest.mark.slow if row[0] in options[:i] else ())
        for i, row in enumerate(ROWS)
    ]


@pytest.mark.parametrize(('option', 'recipe'), _cases())
def test_what_is_built_has_it(option, recipe):
    *others, option = option.split()  # those that it takes effect with
    key, _, text = option.partition('=')
    wanted = DictAction._parse_iterable(text)
    found = FOUND[key](Built(recipe, *others, option))
    before = FOUND[key](plain(recipe, *others))
    numbers = isinstance(wanted, float)
    assert found == (pytest.approx(wanted, rel=1e-4) if numbers else wanted)
    if key not in SHRUNK:
        assert before != found  # the example is no recipe's value
