"""Weights of timm on the Hugging Face hub: the file that a name stands for, and where it lies here.

What is in the hub's cache is taken as it is. Else it is downloaded, by ``huggingface_hub``, whose
variables (``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``, ``HF_ENDPOINT``) count.
"""

import sys
from pathlib import Path
from typing import NamedTuple

from mmseg_uvpt.errors import UserError, first_line

HUB = 'timm/'
_FILES = ('.pth', '.safetensors')  # a launcher waits for no import of what reads them
OPTION = 'model.backbone.init_cfg.checkpoint'


class HubFile(NamedTuple):
    """A file of a repository of the hub, such as ``timm/convnext_base.fb_in22k``."""

    repository: str
    name: str

    @property
    def page(self) -> str:
        """Where terms are read and accepted."""
        from huggingface_hub import constants

        return f'{constants.ENDPOINT}/{self.repository}'

    @property
    def address(self) -> str:
        """What a browser downloads."""
        return f'{self.page}/resolve/main/{self.name}'


def is_hub_name(checkpoint: str | Path) -> bool:
    """Tell ``timm/...``, a name on the hub, from the path of a file."""
    return str(checkpoint).startswith(HUB) and not str(checkpoint).endswith(_FILES)


def hub_file(name: str) -> HubFile:
    """Return the file with the weights of a name such as ``timm/convnext_base.fb_in22k``.

    Raises:
        UserError: timm knows no such weights, or the hub has none of them.
    """
    from mmseg_uvpt.models.backbones.timm.timm_backbone import description

    try:
        described = description(name.removeprefix(HUB))
    except ValueError as error:
        raise UserError(f'{OPTION}={name}: {error}') from error
    if not (described and described.hf_hub_id):
        raise UserError(f'{OPTION}={name}: timm names no file of these weights on the hub')
    return HubFile(described.hf_hub_id, described.hf_hub_filename or 'model.safetensors')


def find_local(checkpoint: str | Path) -> Path | None:
    """Return the path of weights: of a file as it is, of a hub name in the cache if it is there."""
    if not is_hub_name(checkpoint):
        return Path(checkpoint)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(*hub_file(str(checkpoint)))
    return Path(found) if isinstance(found, str) else None


def require_findable(checkpoint: str | Path) -> None:
    """Raise a `UserError` if weights are not in the cache, and the hub is not to be asked."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE and find_local(checkpoint) is None:
        raise _error(hub_file(str(checkpoint)), 'HF_HUB_OFFLINE is set')


def local_file(checkpoint: str | Path) -> Path:
    """Return the path of weights, and download those of a hub name unless the cache has them.

    The hub shows a bar on a terminal; what is begun and done is said in lines everywhere.

    Raises:
        UserError: timm does not know the name; or the file cannot be downloaded: says from where it
            is to be had otherwise, where to put it, and how to name it.
    """
    if found := find_local(checkpoint):
        return found
    require_findable(checkpoint)
    import huggingface_hub
    from huggingface_hub import errors, hf_hub_download

    file = hub_file(str(checkpoint))
    print(f'downloading {file.address}', file=sys.stderr, flush=True)
    verbosity = huggingface_hub.logging.get_verbosity()
    huggingface_hub.logging.set_verbosity_error()  # it says each of its five tries
    try:
        path = Path(hf_hub_download(*file))
    except errors.GatedRepoError as error:
        terms = f'its terms have to be accepted first, at {file.page}, then: hf auth login'
        raise _error(file, terms) from error
    except errors.RepositoryNotFoundError as error:
        raise _error(file, 'the hub has no such repository, or does not show it') from error
    except Exception as error:  # of the hub, of the connection, of a full disk
        raise _error(file, first_line(error.__cause__ or error).rstrip('.')) from error
    finally:
        huggingface_hub.logging.set_verbosity(verbosity)
    print(f'downloaded {path.stat().st_size / 1e6:.0f} MB: {path}', file=sys.stderr, flush=True)
    return path


def _error(file: HubFile, reason: str) -> UserError:
    place = f'model/{file.repository.rpartition("/")[2]}{Path(file.name).suffix}'
    return UserError(
        f'cannot download {file.address}: {reason}. Or get that file on another machine, put it '
        f'here, say as {place}, and name it: --cfg-options {OPTION}={place}'
    )
