"""The config of a model of mmseg: from its file, or from the text that its checkpoint holds."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmseg_uvpt.errors import UserError, first_line, why_not_imported
from mmseg_uvpt.files import why_unreadable
from mmseg_uvpt.nested import everything_in

HOLDERS = ('cfg', 'config')  # where mmseg 1.x and mmseg 0.x keep it in a checkpoint's meta


def read_config(path: str | Path) -> Config:
    """Run a config file, as mmseg does, but for the modules that it has imported.

    Raises:
        UserError: it is missing, or cannot be read.
    """
    if reason := why_unreadable(path):
        raise UserError(f'config {path} {reason}: name that of the model with --config')
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except (Exception, SystemExit) as error:  # a program: anything can happen in it
        raise UserError(
            f'config {path} cannot be read: {type(error).__name__}: {first_line(error)}'
        ) from error


def import_modules(names: Sequence[str], path: str | Path | None) -> None:
    """Import what a config names in ``custom_imports``.

    Raises:
        UserError: one of the modules cannot be imported.
    """
    try:
        import_modules_from_strings(list(names))
    except Exception as error:
        raise UserError(
            f'config {path} needs a module that cannot be imported: {why_not_imported(error)}'
        ) from error


def config_within(checkpoint: Mapping, path: str | Path) -> Config:
    """Read the config that a checkpoint holds as text, without running any of it.

    Raises:
        UserError: there is none, or it is more than a list of plain values.
    """
    meta = checkpoint.get('meta') or {}
    text = next((meta[key] for key in HOLDERS if isinstance(meta.get(key), str)), None)
    if text is None:
        raise UserError(
            f"{path} holds no config (meta['cfg'], meta['config']): name the one it was trained "
            'with by --config FILE.py'
        )
    try:
        return Config(plain_values(text))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UserError(
            f'the config within {path} is more than plain values ({first_line(error)}), and is not '
            'run: name the one it was trained with by --config FILE.py'
        ) from error


def plain_values(text: str) -> dict:
    """Return what a config assigns, as mmengine writes configs: constants, lists and ``dict()``.

    Raises:
        SyntaxError, ValueError: there is anything else in it.
    """
    found = {}
    for line in ast.parse(text).body:
        if not isinstance(line, ast.Assign) or not isinstance(line.targets[0], ast.Name):
            raise ValueError(f'line {line.lineno} assigns no value')
        found[line.targets[0].id] = ast.literal_eval(_Displayed().visit(line.value))
    return found


class _Displayed(ast.NodeTransformer):
    """Turns ``dict(key=value)`` and ``dict({...})`` into ``{...}``, which is a literal."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        within = node.args or [ast.Dict([], [])]
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        if not is_dict or len(within) > 1 or not isinstance(within[0], ast.Dict):
            return node
        keys = [keyword.arg and ast.Constant(keyword.arg) for keyword in node.keywords]
        values = [keyword.value for keyword in node.keywords]
        return ast.Dict([*within[0].keys, *keys], [*within[0].values, *values])


def values_of(node: object, *keys: str) -> Iterator[object]:
    """Yield what stands under any of the keys, anywhere in a config."""
    for part in everything_in(node):
        if isinstance(part, Mapping):
            yield from (value for key, value in part.items() if key in keys)
