"""A model as a folder or a repository of the Hugging Face hub: weights, config and model card."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import mmengine.registry
import mmseg.registry
from mmengine.config import Config

import mmseg_uvpt.registry
from mmseg_uvpt.checkpoints.export import strip
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.sharing.model_card import card_text
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.files import write_whole
from mmseg_uvpt.importing.mmseg_config import plain_values

WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.py', 'README.md'
_SCOPES = ('mmengine', 'mmcv', 'mmseg', 'mmseg_uvpt')
_READ = ('model', 'test_dataloader', 'metainfo')  # of a config that somebody shared


def save_pretrained(
    model: Predictor,
    folder: str | Path,
    scores: Sequence[str | Path] = (),
    licence: str | None = None,
) -> None:
    """Write a model as `from_pretrained` reads it.

    Args:
        model: as `mmseg_uvpt.load` returns it.
        folder: takes ``model.safetensors``, ``config.py`` (the whole resolved config, as plain
            values) and ``README.md``, the model card; each is replaced if it is there.
        scores: JSON files that ``test.py`` wrote of this checkpoint; those beside the checkpoint
            are found.
        licence: of the weights, as the hub names it, such as ``'apache-2.0'``; None where nobody
            has said, which the card says, too.

    Raises:
        UserError: the config holds more than plain values; a score is of another checkpoint; a
            file cannot be read or written.
    """
    folder, text = Path(folder), model.cfg.pretty_text
    try:
        plain_values(text)
    except (SyntaxError, ValueError) as error:
        raise UserError(
            f'config {model.cfg.filename} holds more than plain values ({first_line(error)}), so '
            'nobody could read it without running it: leave that out'
        ) from error
    write_file(strip(model.checkpoint), folder / WEIGHTS)
    card = card_text(model, folder / WEIGHTS, [Path(path) for path in scores], licence)
    for name, content in ((CONFIG, text), (CARD, card)):
        with write_whole(folder / name, 'w') as file:
            file.write(content)


def push_to_hub(model: Predictor, repository: str, private: bool = False, **about: object) -> str:
    """Upload what `save_pretrained` writes; the repository is made if need be.

    Args:
        model: as `mmseg_uvpt.load` returns it.
        repository: such as ``'me/town-to-photographs'``.
        private: whether a new repository is shown to nobody else.
        **about: of `save_pretrained`.

    Returns:
        str: address of the commit.

    Raises:
        UserError: see `save_pretrained`; or the hub refuses it: nobody is logged in, for one.
    """
    from huggingface_hub import HfApi

    with TemporaryDirectory() as folder:
        save_pretrained(model, folder, **about)
        try:
            HfApi().create_repo(repository, private=private, exist_ok=True)
            return str(HfApi().upload_folder(repo_id=repository, folder_path=folder))
        except Exception as error:  # of the hub, of the connection
            raise UserError(
                f'cannot upload to {repository}: {first_line(error)}. Log in with: hf auth login. '
                'Or write a folder with save_pretrained, and upload that elsewhere'
            ) from error


def from_pretrained(
    name: str | Path,
    device: str | None = None,
    amp: bool = False,
    full_size: bool = False,
    revision: str | None = None,
) -> Predictor:
    """Return the model of a folder or a repository of the hub; see `mmseg_uvpt.from_pretrained`."""
    folder = _local_folder(name, revision)
    try:
        values = plain_values((folder / CONFIG).read_text(encoding='utf-8'))
    except OSError as error:
        raise UserError(
            f'{name} is no shared model: cannot read {CONFIG} there ({error.strerror}); '
            'save_pretrained writes one'
        ) from error
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UserError(
            f'{folder / CONFIG} is more than plain values ({first_line(error)}), and is not run'
        ) from error
    read = {key: values[key] for key in _READ if key in values}
    require_known_parts(read, folder / CONFIG)
    cfg = Config(read, filename=folder / CONFIG)
    if amp:
        cfg.merge_from_dict({'uvpt.amp': True})
    return Predictor(cfg, folder / WEIGHTS, device, full_size)


def require_known_parts(described: dict, path: Path) -> None:
    """Make sure that a config which somebody shared names nothing but registered parts.

    mmengine imports what a type with dots names, whatever it is.

    Raises:
        UserError: it names anything else.
    """
    registries = (
        registry
        for module in (mmengine.registry, mmseg.registry, mmseg_uvpt.registry)
        for registry in vars(module).values()
        if isinstance(registry, mmengine.registry.Registry)
    )
    known = {name for registry in registries for name in registry.module_dict}
    for kind in _types_in(described):
        scope, _, plain = str(kind).rpartition('.')
        if plain not in known or scope not in ('', *_SCOPES):
            raise UserError(
                f'{path} needs {kind!r}, which is no part of this package: import the module that '
                'registers it first, if you trust it'
            )


def _types_in(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        if 'type' in node:
            yield node['type']
        if '_scope_' in node:
            yield f'{node["_scope_"]}.{node.get("type")}'
        node = list(node.values())
    if isinstance(node, list | tuple):
        for value in node:
            yield from _types_in(value)


def _local_folder(name: str | Path, revision: str | None) -> Path:
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    try:
        files = [WEIGHTS, CONFIG, CARD]
        return Path(snapshot_download(str(name), revision=revision, allow_patterns=files))
    except Exception as error:  # of the hub, of the connection, of a full disk
        raise UserError(
            f'{name} is no folder, and the hub does not give it: {first_line(error).rstrip(".")}. '
            'Name the folder that save_pretrained wrote, or a repository such as me/model'
        ) from error
