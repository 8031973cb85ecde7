"""A model as a folder or a repository of the Hugging Face hub: weights, config and model card."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mmseg_uvpt.checkpoints.export import strip
from mmseg_uvpt.checkpoints.hashes import ancestors
from mmseg_uvpt.checkpoints.reading import write_file
from mmseg_uvpt.engine.inference.predictor import Predictor
from mmseg_uvpt.engine.sharing.model_card import card_text
from mmseg_uvpt.engine.sharing.shared_config import read_shared, shared_text
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.files import write_text

WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.py', 'README.md'


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
    if isinstance(scores, str | Path):
        raise UserError(f'scores={str(scores)!r}: give a list of files')
    folder, origin = Path(folder), Path(model.checkpoint).parent
    is_shared = Path(model.checkpoint).name == WEIGHTS and _is_as_shared(model, origin)
    if is_shared and (scores or licence):
        raise UserError(
            f'{origin / CARD} says what is known of this model: write licence and scores there, '
            'and leave them out here'
        )
    text = (origin / CONFIG).read_text() if is_shared else shared_text(model.cfg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix='.part', dir=folder) as made:  # all three, or none
            parts = {name: Path(made) / name for name in (WEIGHTS, CONFIG, CARD)}
            stripped = strip(model.checkpoint)
            write_file(stripped, parts[WEIGHTS])
            if is_shared:  # and says all that is known
                card = (origin / CARD).read_text()
            else:
                told = ancestors(stripped), [Path(path) for path in scores], licence
                card = card_text(model, parts[WEIGHTS], *told)
            for name, content in ((CONFIG, text), (CARD, card)):
                write_text(parts[name], content)
            read_shared(parts[CONFIG])  # raises where nobody could read it
            for name, part in parts.items():
                os.replace(part, folder / name)
    except OSError as error:
        raise UserError(f'cannot write to {folder}: {error.strerror}') from error


def _is_as_shared(model: Predictor, folder: Path) -> bool:
    """Tell whether a folder holds a shared model, and its config is the one that is used."""
    if not all((folder / name).is_file() for name in (CONFIG, CARD)):
        return False
    return read_shared(folder / CONFIG).model == model.cfg.model


def push_to_hub(model: Predictor, repository: str, private: bool = True, **about: object) -> str:
    """Upload what `save_pretrained` writes; the repository is made if need be.

    Args:
        model: as `mmseg_uvpt.load` returns it.
        repository: such as ``'me/town-to-photographs'``.
        private: whether a new repository is shown to nobody else: look through it before others
            do.
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
    amp: bool | None = None,
    full_size: bool = False,
    revision: str | None = None,
) -> Predictor:
    """Return the model of a folder or a repository of the hub; see `mmseg_uvpt.from_pretrained`."""
    folder = local_folder(name, revision)
    cfg = read_shared(folder / CONFIG)
    try:
        return Predictor(cfg, folder / WEIGHTS, device, full_size, amp)
    except UserError:
        raise
    except Exception as error:  # a part is built otherwise than it is described
        raise UserError(
            f'{folder / CONFIG} describes no model that can be built: {type(error).__name__}: '
            f'{first_line(error)}'
        ) from error


def local_folder(name: str | Path, revision: str | None = None) -> Path:
    """Return a folder of a shared model: one on this machine, or one that the hub gives.

    Raises:
        UserError: it cannot be had.
    """
    if Path(name).is_dir():
        if revision:
            raise UserError(f'{name} is a folder, which has no revisions: leave out {revision!r}')
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
