"""An adapted model and its source model, scored on the same images."""

from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.registry import METRICS

from mmseg_uvpt.checkpoints.hashes import require_descent
from mmseg_uvpt.checkpoints.loading import load_file, state_dict_of
from mmseg_uvpt.checkpoints.names import added_names
from mmseg_uvpt.engine.config.classes import classes_in, meta_of, require_same
from mmseg_uvpt.engine.config.normalisation import is_adaptation
from mmseg_uvpt.engine.config.required import require_file
from mmseg_uvpt.engine.config.resolve import score_that_counts
from mmseg_uvpt.engine.inference.model import source_model, source_within
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.comparison import Comparison
from mmseg_uvpt.evaluation.iou_metric import DomainIoUMetric
from mmseg_uvpt.evaluation.score import Score
from mmseg_uvpt.registry import is_a


def describe_source(cfg: Config, checkpoint: str, source: str) -> None:
    """Let the config of an adaptation describe the test of its source model, in place.

    Args:
        cfg: resolved config.
        checkpoint: the adapted model's.
        source: the source model's, which may be an adapted one whose tuner added no tensor.

    Raises:
        UserError: the config is no adaptation's, or its metric counts no images; the source model
            is missing, an adapted model, of other classes, does not fit, or is not what the other
            was adapted from.
    """
    if not is_adaptation(cfg):
        raise UserError(
            f'--compare is for adapted models, and {cfg.filename} describes none: give the config '
            'that the checkpoint was adapted with'
        )
    used = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    if not any(is_a(METRICS, metric, DomainIoUMetric) for metric in used):
        raise UserError('--compare needs test_evaluator.type=DomainIoUMetric')
    require_file(source, '--compare:', 'give the source model, --source-checkpoint of the training')
    loaded = load_file(source)
    if added_names(state_dict_of(loaded, source)):
        raise UserError(
            f'--compare: {source} is an adapted model: give the source model, '
            '--source-checkpoint of the training'
        )
    classes = meta_of(cfg.test_dataloader.dataset)['classes']
    require_same({'test_dataloader': classes, f'source model {source}': classes_in(loaded)})
    require_descent(load_file(checkpoint), checkpoint, source)
    cfg.model = source_within(cfg.model)
    source_model(cfg, source)  # raises here what it would after the adapted model was scored
    for metric in used:
        metric.pop('out_json', None)  # that is of the adapted model's result


def compare(cfg: Config, source: str, of_source: Score, of_adapted: Score) -> dict:
    """Log how two models compare and return it as JSON.

    In words it is said of the mean that the config scores candidates or chooses its best checkpoint
    by (16 classes where the source is SYNTHIA), else of that of all classes.
    """
    compared = Comparison.by(score_that_counts(cfg), of_source, of_adapted)
    print_log(f'compared with {source}\n{compared.table()}', 'current')
    return {'source_checkpoint': source, **compared.to_json()}
