"""Test-time adaptation: each image of a stream is predicted before it is trained on."""

from bisect import bisect_right

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from prettytable import PrettyTable

from mmseg_uvpt.datasets.seeded_batches import data_set_of
from mmseg_uvpt.engine.config.stream import ANEW
from mmseg_uvpt.engine.hooks.resume import evaluating
from mmseg_uvpt.engine.inference.loop import predict
from mmseg_uvpt.errors import UserError
from mmseg_uvpt.evaluation.iou_metric import DomainIoUMetric
from mmseg_uvpt.files import write_json
from mmseg_uvpt.model_wrappers import without_wrapper


@HOOKS.register_module()
class StreamHook(Hook):
    """Scores what the model says of each image of the stream before its training iteration.

    The training set is a concatenation of domains, of which each batch is one image.

    Args:
        domains: names, in the order of the stream.
        out_json: file of the scores, by domain.
        reset: whether model, optimiser and method begin anew at each domain.

    Attributes:
        scores: by domain what was found; a domain without labels has none.
    """

    def __init__(self, domains: list[str], out_json: str, reset: bool = False):
        self.domains, self.out_json, self.reset = list(domains), out_json, reset
        self.scores: dict[str, dict] = {}

    def before_train(self, runner) -> None:
        """Keep the source model, and prepare a metric a domain.

        Raises:
            UserError: there are several processes; or a run is resumed, whose counts are lost.
        """
        if get_world_size() > 1:
            raise UserError(
                'a stream has one image at a time, and scores each once: run it in one process'
            )
        if runner.iter > 0:
            raise UserError(f'stopped after {runner.iter} images: {ANEW}')
        dataset = data_set_of(runner.train_dataloader)
        self._ends = dataset.cumulative_sizes
        self._source = None
        if self.reset:
            tensors = without_wrapper(runner.model).state_dict()
            self._source = {name: tensor.clone() for name, tensor in tensors.items()}
        self._metrics = [DomainIoUMetric() for _ in self.domains]
        for metric in self._metrics:
            metric.dataset_meta = dataset.metainfo

    def before_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Predict the image, and count."""
        model = without_wrapper(runner.model)
        samples = [sample.clone() for sample in data_batch['data_samples']]
        batch = {**data_batch, 'data_samples': samples}
        with evaluating(model):
            predicted = [each.to_sample().to_dict() for each in predict(model, [batch])]
        if 'gt_sem_seg' in predicted[0]:
            self._metrics[bisect_right(self._ends, runner.iter)].process(batch, predicted)

    def after_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        """Go back to the source model where a domain ends and another one follows.

        After the iteration, so that what is put back if the next one is skipped is the source's.
        """
        if self.reset and runner.iter + 1 in self._ends[:-1]:
            model = without_wrapper(runner.model)
            model.load_state_dict(self._source)
            model.begin_training()
            runner.optim_wrapper.optimizer.state.clear()
            runner.optim_wrapper.zero_grad()  # what was added up for a later step
            runner.logger.info('a domain begins: back to the source model')

    def after_train(self, runner) -> None:
        """Log the scores of all domains, and write them."""
        table = PrettyTable(['domain', 'images', 'mIoU'], align='r')
        for number, (name, metric) in enumerate(zip(self.domains, self._metrics, strict=True)):
            if times := self.domains[:number].count(name):
                name = f'{name} ({times + 1})'  # a stream may come back to a domain
            if any(confusion.any() for confusion in metric.results):  # one labelled pixel will do
                metric.compute_metrics(metric.results)
                self.scores[name] = metric.score.to_json()
            mean = f'{self.scores[name]["mIoU"]:.2f}' if name in self.scores else '-'
            table.add_row([name, len(metric.results), mean])
        runner.logger.info(f'predictions made on the way\n{table}')
        write_json(self.out_json, self.scores)
        if not self.scores:
            runner.logger.warning('no domain has labels, so nothing says how good they were')
