"""How long a training takes: one number, by which the schedule goes as well."""

from collections.abc import Iterator

from mmengine.config import Config

from mmseg_uvpt.errors import UserError


def schedulers(cfg: Config) -> Iterator[dict]:
    """Yield the parts of a config's ``param_scheduler``, in whatever form mmengine takes them."""
    waiting = [cfg.get('param_scheduler')]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and 'type' in node:
            yield node
        elif isinstance(node, dict | list | tuple):
            waiting.extend(node.values() if isinstance(node, dict) else node)


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

    loop = cfg.train_cfg
    kind = LOOPS.get(loop.type) if isinstance(loop.get('type'), str) else loop.get('type')
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
