"""What the augmentations of a config need, looked for before anyone waits for a training."""

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.generalisation import corruptions, style_images
from mmseg_uvpt.generalisation.augmentations import CORRUPTIONS, WITH_STYLE_IMAGE, check_names
from mmseg_uvpt.generalisation.preprocessor import GeneralisingPreprocessor
from mmseg_uvpt.generalisation.weights import FILES, require_weights


def check(cfg: Config) -> None:
    """Make sure that files, folders and packages of the augmentations are there.

    Args:
        cfg: resolved config; one without augmentations passes.

    Raises:
        UserError: names what is missing, and how to get it or to go on without it.
    """
    collate = cfg.train_dataloader.get('collate_fn') or {}
    if collate.get('type') != 'augmented_collate':
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
    if preprocessor.get('type') != GeneralisingPreprocessor.__name__:
        raise UserError(
            f'config {cfg.filename} draws augmentations, and model.data_preprocessor of type '
            f'{preprocessor.get("type")} would not apply them: {GeneralisingPreprocessor.__name__} '
            'does'
        )
    weights = preprocessor.get('weights') or {}
    for name in names:
        for part in FILES.get(name, ()):
            require_weights(part, weights.get(part), name)
