"""Every published recipe against the numbers of the publication, stated here once more."""

from argparse import Namespace
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS, init_default_scope
from mmseg.registry import MODELS

from mmseg_uvpt.augmentation.augmentations import AUGMENTATIONS
from mmseg_uvpt.engine.config.resolve import resolve
from mmseg_uvpt.engine.config.training_labels import check_labels_of_method
from mmseg_uvpt.engine.training.parameter_counts import parameter_counts
from mmseg_uvpt.nested import parts_of_type

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
FOUNDATION = sorted((CONFIGS / 'foundation/pretrain').glob('*_gta5.py'))
# pretraining, backbone -> (source, adapted) for GTA 19, SYNTHIA 16, SYNTHIA 13
SCORES = {
    ('SSS', 'Swin-B'): ((50.5, 56.2), (44.6, 52.6), (49.8, 59.4)),
    ('SSS', 'MiT-B5'): ((52.5, 54.2), (48.6, 52.6), (55.0, 59.3)),
    ('GtA', 'Swin-B'): ((52.8, 56.9), (48.8, 53.8), (55.0, 60.4)),
    ('GtA', 'MiT-B5'): ((53.0, 56.1), (50.0, 53.8), (56.2, 60.1)),
}
ADAPTATION_RATE = {'Swin-B': 6e-6, 'MiT-B5': 4e-6}
PRETRAINING_RATE = {
    ('Swin-B', 'GTAV'): 6e-6,
    ('Swin-B', 'Synthia'): 2e-6,
    ('MiT-B5', 'GTAV'): 2e-5,
    ('MiT-B5', 'Synthia'): 2e-6,
}
GENERALISING_RATE = {
    ('Swin-B', 'GTAV'): 1e-5,
    ('Swin-B', 'Synthia'): 2e-6,
    ('MiT-B5', 'GTAV'): 8e-6,
    ('MiT-B5', 'Synthia'): 4e-6,
}
# fmt: off
CLASS_WEIGHTS = [0.8373, 0.918, 0.866, 1.0345, 1.0166, 0.9969, 0.9754, 1.0489, 0.8786, 1.0023,
                 0.9539, 0.9843, 1.1116, 0.9037, 1.0865, 1.0955, 1.0865, 1.1529, 1.0507]
# fmt: on
SOURCES = {'GTAV': 'gta5', 'Synthia': 'synthia'}
STEMS = {'SSS': 'sss', 'GtA': 'source-gta'}
ROWS = [(*key, source) for key in SCORES for source in SOURCES]


def scores(pretraining, backbone, source, which) -> dict[str, float]:
    gta, synthia16, synthia13 = SCORES[pretraining, backbone]
    if source == 'GTAV':
        return {'mIoU19': gta[which]}
    return {'mIoU16': synthia16[which], 'mIoU13': synthia13[which]}


def file_name(row, which, middle='') -> str:
    numbers = '_'.join(str(score) for score in scores(*row, which).values())
    return f'{"_".join(row)}_Cityscapes_{middle}{numbers}'


def resolved(path: Path) -> Config:
    """Read a recipe as the scripts do."""
    return resolve(Namespace(config=str(path), data_root=None, cfg_options=[]))


def adaptation(row) -> Config:
    pretraining, backbone, source = row
    name = f'{STEMS[pretraining]}_{backbone.lower()}_{SOURCES[source]}-to-cityscapes.py'
    return resolved(CONFIGS / 'uni_uvpt' / name)


def pretraining(row) -> Config:
    pretraining, backbone, source = row
    name = f'{STEMS[pretraining]}_{backbone.lower()}_{SOURCES[source]}.py'
    return resolved(CONFIGS / 'pretrain' / name)


def test_no_other_recipes():
    assert len(list((CONFIGS / 'uni_uvpt').glob('*.py'))) == len(ROWS)
    assert len(list((CONFIGS / 'pretrain').glob('*.py'))) == len(ROWS)


@pytest.mark.parametrize('path', FOUNDATION, ids=lambda path: path.stem)
def test_foundation_recipes_are_pairs(path):
    adapting = path.parents[1] / 'uni_uvpt' / f'{path.stem}-to-cityscapes.py'
    source, adapted = (Config.fromfile(p, import_custom_modules=False) for p in (path, adapting))
    assert adapted.model.backbone == {**source.model.backbone, 'init_cfg': None}
    for part in ('neck', 'data_preprocessor', 'decode_head'):
        assert adapted.model.get(part) == source.model.get(part)
    assert adapted.model.source_checkpoint is None
    assert adapted.default_hooks.label_correction.pseudo_label_dir.split('/')[-2] == path.stem
    for cfg, file in ((source, path), (adapted, adapting)):
        assert 'released_checkpoint' not in cfg.uvpt
        assert 'published' not in cfg.uvpt
        assert 'Nobody has trained it here.' in file.read_text()


@pytest.mark.parametrize('row', ROWS, ids='-'.join)
def test_adaptation_recipe(row):
    cfg = adaptation(row)
    assert cfg.uvpt.published == {'source': scores(*row, 0), 'adapted': scores(*row, 1)}
    source = file_name(row, 0)
    assert cfg.model.source_checkpoint == f'model/pretrained_models/{source}.pth'
    adapted = file_name(row, 1, 'Uni-UVPT_LP_')
    assert cfg.uvpt.released_checkpoint == f'model/Uni-UVPT_models/{adapted}.pth'
    (correction,) = parts_of_type(cfg.default_hooks, 'LabelCorrectionHook')
    assert correction == {
        'type': 'LabelCorrectionHook',
        'pseudo_label_dir': f'data/cityscapes/pretrain/{source}/train',
        'interval': 200,
        'queue_length': 1000,
        'slope': 0.95,
        'quantile': 0.80,
        'num_classes': 19,
    }
    assert cfg.train_cfg.max_iters == 80000
    assert cfg.train_cfg.val_interval == 2000
    assert cfg.train_dataloader.batch_size == 1
    assert cfg.default_hooks.checkpoint.save_best == next(iter(scores(*row, 0)))
    assert cfg.default_hooks.selection.select == 'target labels'  # as in the published table
    steps = cfg.train_dataloader.dataset.pipeline
    assert [step.type for step in steps] == [
        'LoadImageChecked',
        'LoadPseudoLabel',
        'Resize',
        'CropWithBox',
        'RandomFlip',
        'PhotoMetricDistortion',
        'PackSegInputs',
    ]
    assert steps[2].scale == (1024, 512)
    assert (steps[3].crop_size, steps[3].cat_max_ratio) == ((512, 512), 0.75)
    assert_published_views(cfg)


@pytest.mark.parametrize('row', ROWS, ids='-'.join)
def test_the_best_recipe_of_each_is_chosen_without_labels(row):
    pretraining, backbone, source = row
    name = f'{STEMS[pretraining]}_{backbone.lower()}_{SOURCES[source]}-to-cityscapes_best.py'
    cfg, published = resolved(CONFIGS / 'best/uni_uvpt' / name), adaptation(row)
    assert cfg.model.type == 'MeanTeacher'
    assert cfg.default_hooks.label_correction is None
    selection = cfg.default_hooks.selection
    assert selection.select == 'guarded'
    assert selection.get('score', 'mIoU19') == next(iter(scores(*row, 0)))
    for part in ('backbone', 'decode_head', 'source_checkpoint'):
        assert cfg.model[part] == published.model[part]
    assert cfg.train_cfg.max_iters == published.train_cfg.max_iters


def assert_published_views(cfg):
    """Of --aug-test: six sizes, each as it is and flipped, of the size of a test."""
    (size,) = parts_of_type(cfg.test_dataloader.dataset.pipeline, 'Resize')
    (views,) = parts_of_type(cfg.tta_pipeline, 'TestTimeAug')
    resizes, flips, *_ = views.transforms
    assert all(resize.keep_ratio for resize in resizes)
    ratios = [tuple(a / b for a, b in zip(r.scale, size.scale, strict=True)) for r in resizes]
    assert ratios == [(x, x) for x in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)]
    assert size.scale == (1024, 512)
    assert [flip.prob for flip in flips] == [0.0, 1.0]


@pytest.mark.parametrize('row', ROWS, ids='-'.join)
def test_pretraining_recipe(row):
    cfg = pretraining(row)
    assert cfg.uvpt.published == {'source': scores(*row, 0)}
    assert cfg.uvpt.released_checkpoint == f'model/pretrained_models/{file_name(row, 0)}.pth'
    assert cfg.train_cfg.max_iters == (400000 if row[0] == 'SSS' else 40000)
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.default_hooks.checkpoint.save_best == next(iter(scores(*row, 0)))
    steps = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    assert steps['Resize'].scale == ((1280, 720) if row[2] == 'GTAV' else (1280, 760))
    assert steps['RandomCrop'].crop_size == (512, 512)
    assert steps['RandomCrop'].cat_max_ratio == 0.75
    assert [step.type for step in cfg.train_dataloader.dataset.pipeline] == [
        'LoadImageChecked',
        'LoadLabelChecked',
        'Resize',
        'RandomCrop',
        'RandomFlip',
        *(['PhotoMetricDistortion'] if row[0] == 'SSS' else []),
        'PackSegInputs',
    ]
    assert steps.get('PhotoMetricDistortion', {}).keys() <= {'type'}  # mmseg's defaults
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == 2000
    loss = cfg.model.decode_head.loss_decode
    assert loss.type == ('CrossEntropyLoss' if row[0] == 'SSS' else 'PixelMeanCrossEntropy')
    assert ('class_weight' in loss) == (row[0] == 'GtA')
    assert_published_views(cfg)
    assert cfg.val_dataloader.dataset.data_prefix.img_path == 'leftImg8bit/val'


@pytest.mark.parametrize('row', [row for row in ROWS if row[0] == 'GtA'], ids='-'.join)
def test_generalising_recipe(row):
    cfg = pretraining(row)
    assert cfg.model.type == 'SourceGtA'
    assert list(cfg.model.decode_head.loss_decode.class_weight) == CLASS_WEIGHTS
    part = cfg.model.data_preprocessor
    assert (part.adain_strength, part.style_strength, part.fda_beta) == (0.3, 0.5, 0.005)
    collate = cfg.train_dataloader.collate_fn
    assert collate.type == 'augmented_collate'
    assert sorted(collate.augmentations) == sorted(AUGMENTATIONS)
    assert cfg.optim_wrapper.optimizer.lr == GENERALISING_RATE[row[1:]]
    (schedule,) = cfg.param_scheduler
    assert (schedule.type, schedule.power, schedule.end) == ('PolyLR', 1.0, 40000)
    init_default_scope('mmseg')
    MODELS.build(part)


@cache
def full_size_model(name: str) -> torch.nn.Module:
    init_default_scope('mmseg')
    return MODELS.build(Config.fromfile(CONFIGS / f'_base_/models/{name}.py').model)


def rates(cfg: Config, model: torch.nn.Module) -> dict[str, tuple[float, float]]:
    """Return the learning rate and weight decay that each parameter gets."""
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert isinstance(wrapper.optimizer, torch.optim.AdamW)
    assert len(wrapper.optimizer.param_groups) <= 6
    found = {
        names[id(p)]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert all(group['betas'] == (0.9, 0.999) for group in wrapper.optimizer.param_groups)
    assert found.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
    return found


def is_norm(model: torch.nn.Module, name: str) -> bool:
    return 'Norm' in type(model.get_submodule(name.rpartition('.')[0])).__name__


@pytest.mark.parametrize('row', ROWS, ids='-'.join)
def test_adaptation_rates(row):
    model = full_size_model(f'{row[1].lower()}_uni-uvpt')
    base = ADAPTATION_RATE[row[1]]
    factors = {'backbone': 5, 'decode_head': 10, 'scale_weights': 1}
    for name, (rate, decay) in rates(adaptation(row), model).items():
        assert rate == pytest.approx(factors[name.partition('.')[0]] * base), name
        assert decay == (0 if is_norm(model, name) else 0.01), name
        assert '.staged.' not in name


@pytest.mark.parametrize('row', [row for row in ROWS if row[0] == 'SSS'], ids='-'.join)
def test_pretraining_rates(row):
    model = full_size_model(f'{row[1].lower()}_source')
    base = PRETRAINING_RATE[row[1:]]
    for name, (rate, decay) in rates(pretraining(row), model).items():
        assert rate == pytest.approx(10 * base if name.startswith('decode_head.') else base), name
        assert decay == (0 if is_norm(model, name) else 0.01), name


def learning_rates(cfg: Config, iterations: int) -> list[float]:
    """Run the schedule for a parameter with a rate of 1."""
    sgd = OPTIMIZERS.build({'type': 'SGD', 'params': [torch.zeros(1)], 'lr': 1.0})
    sgd.step()
    schedule = [PARAM_SCHEDULERS.build({**part, 'optimizer': sgd}) for part in cfg.param_scheduler]
    found = []
    for _ in range(iterations):
        found.append(sgd.param_groups[0]['lr'])
        for part in schedule:
            part.step()
    return found


def test_adaptation_schedule():
    found = learning_rates(adaptation(ROWS[0]), 80001)
    t = torch.arange(80001, dtype=torch.float64) / 80000
    expected = 1e-5 + (1 - 1e-5) * (1 + torch.cos(torch.pi * t)) / 2
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected)


def test_pretraining_schedule():
    found = learning_rates(pretraining(ROWS[0]), 3000)
    t = torch.arange(3000, dtype=torch.float64)
    warm_up = (1e-6 + (1 - 1e-6) * t / 1499).clamp(max=1)
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), warm_up * (1 - t / 400000))


@pytest.mark.parametrize(
    ('name', 'total', 'prompts', 'head'),
    [('swin-b', 115.35, 24.67, 3.94), ('mit-b5', 93.74, 8.59, 3.71)],
)
def test_parameter_counts(name, total, prompts, head):
    model = full_size_model(f'{name}_uni-uvpt')
    counts = parameter_counts(model)
    found = [round(count / 1e6, 2) for count in (counts.total, counts.prompts, counts.head)]
    assert found == [total, prompts, head]
    assert counts.trainable + counts.frozen == counts.total
    frozen = {n: p.numel() for n, p in model.named_parameters() if not p.requires_grad}
    unused = ('backbone.generator.conv4.', 'backbone.level_embedding')  # in released files only
    assert all(name.startswith(('backbone.staged.', *unused)) for name in frozen)
    assert counts.frozen == sum(frozen.values())
    assert f'total {total:.2f} M' in str(counts)


@pytest.mark.parametrize('path', sorted((CONFIGS / 'adabn/uni_uvpt').glob('*.py')), ids=str)
def test_new_statistics_are_those_of_whole_frames_once(path):
    cfg = resolve(Namespace(config=str(path), data_root=None, cfg_options=[]))
    check_labels_of_method(cfg)
    seen = cfg.train_cfg.max_iters * cfg.train_dataloader.batch_size
    assert 2975 <= seen < 2975 + cfg.train_dataloader.batch_size
    steps = [step['type'] for step in cfg.train_dataloader.dataset.pipeline]
    assert steps == ['LoadImageChecked', 'Resize', 'PackSegInputs']
    assert (cfg.model.type, cfg.model.get('parts', 'head')) == ('AdaBN', 'head')
