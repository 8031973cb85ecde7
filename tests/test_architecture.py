"""The rooms of the house: who imports whom, and what stays out of other people's names."""

import ast
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_uvpt.engine.config.keys import READ
from mmseg_uvpt.engine.config.uvpt import KEYS

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = 'mmseg_uvpt'
FILES = sorted(REPOSITORY.glob(f'{PACKAGE}/**/*.py'))
MODELS_MAY = (
    *('mmcv', 'mmengine', 'mmseg', 'numpy', 'peft', 'timm', 'torch', 'torchvision'),
    *('mmseg_uvpt.models', 'mmseg_uvpt.ops'),
)
ABOVE_ENGINE = ('engine', 'sweep', 'adapting', 'demo', 'leaderboard', 'report', 'commands')
IMPORT_ENGINE = {
    'register.py',  # puts all parts into the registries, those of the engine too
    '__init__.py',  # `load`, the way in for other projects
}
PAIRS = {
    'lovasz.py',  # the plain form of a thing and its fast one
    *('image_files.py', 'source.py'),  # where version 0.1 had what users import
}
FORCE = {'checkpoints/loading.py'}  # mmseg's `init_model` reads files by nothing else
BESIDE_THEM = {'ops/build.py'}  # find files that lie beside them
# of mmengine's runner, but for its arguments
MMENGINE_READS = {
    *('activation_checkpointing', 'custom_imports', 'efficient_conv_bn_eval'),
    *('find_unused_parameters', 'model_wrapper_cfg', 'sync_bn'),
}
# not mmengine's, but what configs of this field have: the classes, a data loader beside three
# others, test-time augmentation as mmseg names it
OF_THE_FIELD = {'metainfo', 'target_train_dataloader', 'tta_model', 'tta_pipeline'}


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY / PACKAGE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def files_with(kind: type[ast.AST], holds: Callable[[ast.AST], bool]) -> set[str]:
    """Return the files in which something is true of a node of a kind."""
    return {
        name(path)
        for path in FILES
        if any(isinstance(node, kind) and holds(node) for node in ast.walk(tree(path)))
    }


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f'{path} imports by dots'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def begins(module: str, parents: tuple[str, ...]) -> bool:
    return any(module == parent or module.startswith(f'{parent}.') for parent in parents)


@pytest.mark.parametrize(
    'path', [p for p in FILES if name(p).startswith(('models/', 'methods/'))], ids=name
)
def test_models_and_methods_are_plain(path):
    may = (*MODELS_MAY, *sys.stdlib_module_names)
    if name(path).startswith('methods/'):
        may = (*may, 'mmseg_uvpt.methods')
    assert not [module for module in imports(path) if not begins(module, may)]


def test_nothing_below_imports_the_engine():
    found = {
        name(path)
        for path in FILES
        if name(path).split('/')[0] not in ABOVE_ENGINE
        and any(begins(module, ('mmseg_uvpt.engine',)) for module in imports(path))
    }
    assert found <= IMPORT_ENGINE


def test_no_two_files_have_one_name():
    families = REPOSITORY / PACKAGE / 'models/backbones/timm'  # under the names of their models
    others = (path for path in FILES if path.parent != families)
    names = Counter(path.name for path in others if not path.name.startswith('__'))
    assert {name for name, count in names.items() if count > 1} == PAIRS


def test_nothing_takes_a_name_from_somebody_else():
    """A registry is told of no name twice."""
    forces = files_with(
        ast.Call,
        lambda node: (
            getattr(node.func, 'attr', '').startswith('register')
            and any(keyword.arg == 'force' for keyword in node.keywords)
        ),
    )
    assert forces <= FORCE


def test_one_function_knows_where_the_repository_is():
    """`shipped` finds what a wheel carries elsewhere than a checkout does."""
    found = files_with(ast.Name, lambda node: node.id == '__file__')
    assert found <= {'shipped.py', *BESIDE_THEM}


def test_no_object_changes_its_class():
    assert not files_with(
        ast.Attribute,
        lambda node: node.attr == '__class__' and isinstance(node.ctx, ast.Store),
    )


def test_only_uvpt_is_ours_at_the_top_of_a_config():
    runner = set(inspect.signature(Runner).parameters)
    assert READ - runner - MMENGINE_READS - OF_THE_FIELD == {'uvpt'}
    for path in REPOSITORY.glob('configs/*/*.py'):
        cfg = Config.fromfile(path, import_custom_modules=False)
        assert not set(KEYS) & set(cfg), path


PROGRAMS = sorted(
    path
    for folder in ('', 'benchmarks', 'tools', 'tools/convert_datasets')
    for path in (REPOSITORY / folder).glob('*.py')
)


@pytest.mark.parametrize('path', PROGRAMS, ids=lambda path: path.name)
def test_programs_import_names_that_exist(path):
    """Most import within functions, and no test runs all of the benchmarks."""
    missing = [
        f'{node.module}.{alias.name}'
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or '').startswith(PACKAGE)
        for alias in node.names
        if not _exists(node.module, alias.name)
    ]
    assert not missing


def _exists(module: str, name: str) -> bool:
    found = import_module(module)
    is_module = hasattr(found, '__path__') and find_spec(f'{module}.{name}') is not None
    return hasattr(found, name) or is_module
