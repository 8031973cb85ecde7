"""What the augmentations of a config need, looked for before anyone waits for a training.

Torch is not imported here: a list of jobs asks this of each.
"""

from mmengine.config import Config

from mmseg_uvpt.augmentation import corruptions, style_images
from mmseg_uvpt.augmentation.augmentations import CORRUPTIONS, WITH_STYLE_IMAGE, check_names
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.files import why_unreadable

# the files that each network is read from
FILES = {
    'adain': ('adain_encoder', 'adain_decoder'),
    'style_randomisation': ('style_transfer', 'style_predictor', 'style_embeddings'),
}
PREPROCESSOR = 'AugmentingPreprocessor'


def collate_of(cfg: Config) -> dict | None:
    """Return the arguments of the config's `augmented_collate`; None where it does not augment."""
    collate = (cfg.get('train_dataloader') or {}).get('collate_fn') or {}
    return collate if collate.get('type') == 'augmented_collate' else None


def check(cfg: Config) -> None:
    """Make sure that files, folders and packages of the augmentations are there.

    Args:
        cfg: resolved config; one without augmentations passes.

    Raises:
        UserError: names what is missing, and how to get it or to go on without it.
    """
    collate = collate_of(cfg)
    if collate is None:
        return
    try:
        names = check_names(collate.get('augmentations', ()))
    except ValueError as error:
        raise UserError(f'config {cfg.filename}: {error}') from error
    if set(names) & set(WITH_STYLE_IMAGE):
        style_images.check(collate.get('style_dir'))
    if set(names) & set(CORRUPTIONS):
        corruptions.require()
    preprocessor = cfg.model.data_preprocessor
    if preprocessor.get('type') != PREPROCESSOR:
        raise UserError(
            f'config {cfg.filename} draws augmentations, and model.data_preprocessor of type '
            f'{preprocessor.get("type")} would not apply them: {PREPROCESSOR} '
            'does'
        )
    weights = preprocessor.get('weights') or {}
    for name in names:
        for part in FILES.get(name, ()):
            require_weights(part, weights.get(part), name)


def require_weights(part: str, path: str | None, name: str) -> None:
    """Make sure that a file of weights is there.

    Args:
        part: what it holds, a key of `AugmentingPreprocessor`'s weights.
        path: of the file.
        name: of the augmentation that needs it.

    Raises:
        UserError: it is not there.
    """
    reason = why_unreadable(path) if path else 'is not named'
    if reason:
        raise UserError(
            f'the augmentation {name} needs the file {path or part}, which {reason}. '
            'model/README.md says where it is published. To go on without it, leave '
            f'{name} out of `augmentations` in the config.'
        )
