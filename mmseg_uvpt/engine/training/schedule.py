"""How long a training takes: one number, by which the schedule goes as well."""

from mmengine.config import Config

from mmseg_uvpt.errors import UserError
from mmseg_uvpt.nested import everything_in


def schedulers(cfg: Config) -> list[dict]:
    """Return the parts of a config's ``param_scheduler``, in whatever form mmengine takes them."""
    parts = everything_in(cfg.get('param_scheduler'))
    return [part for part in parts if isinstance(part, dict) and 'type' in part]


def fill_ends(cfg: Config) -> None:
    """Let each part of the schedule that names no ``end`` end with the training, in place.

    mmengine would do so too, but not in the config that is recorded.
    """
    iterations = (cfg.get('train_cfg') or {}).get('max_iters')
    for part in schedulers(cfg):
        if iterations is not None and part.get('by_epoch') is False:
            part.setdefault('end', iterations)


def check_loop(cfg: Config) -> None:
    """Make sure that a training and its schedule go by iterations, of which there is one.

    Raises:
        UserError: names the entry that is wrong.
    """
    from mmengine.runner import IterBasedTrainLoop
    from mmseg.registry import LOOPS

    from mmseg_uvpt.registry import class_of

    loop = cfg.train_cfg
    kind = class_of(LOOPS, loop)
    by_epoch = (
        loop.get('by_epoch', True) if kind is None else not issubclass(kind, IterBasedTrainLoop)
    )
    if by_epoch:
        raise UserError(
            f'train_cfg.type={loop.get("type")}: trainings go by iterations here, with '
            "train_cfg=dict(type='IterBasedTrainLoop', max_iters=N, val_interval=M); N is epochs x "
            'images / batch, and the sampler an InfiniteSampler'
        )
    for name in ('max_iters', 'val_interval'):
        number = loop.get(name, 1)
        if type(number) is not int or number < 1:
            raise UserError(f'train_cfg.{name}={number!r}: must be a whole number above 0')
    if 'max_iters' not in loop:
        raise UserError('train_cfg.max_iters is missing: how many iterations are to be trained')
    for part in schedulers(cfg):
        if part.get('by_epoch', True) and not part.get('convert_to_iter_based'):
            raise UserError(
                f'param_scheduler: {part["type"]} goes by epochs, of which a training by '
                'iterations has none: give it by_epoch=False'
            )
