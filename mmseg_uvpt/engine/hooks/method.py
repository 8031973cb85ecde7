"""What tells the method of an adaptation how far its training is, and saves its state."""

import torch
from mmengine.hooks import Hook

from mmseg_uvpt.datasets.moved_pixels import check_kept_image
from mmseg_uvpt.datasets.seeded_batches import data_set_of, pipelines
from mmseg_uvpt.model_wrappers import without_wrapper
from mmseg_uvpt.models.segmentors.adaptation import AdaptedSegmentor

KEY = 'method'


class MethodHook(Hook):
    """Calls the `AdaptedSegmentor` that is trained; other segmentors are left alone.

    A checkpoint's state dict is what the method predicts with. Beside it lie its `training_state`
    and the weights that are trained, where they are others.
    """

    def __init__(self) -> None:
        self._model: AdaptedSegmentor | None = None
        self._saved: dict | None = None  # of a checkpoint, until training begins

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keep the state until `before_train`, where it is clear whether a run is resumed."""
        self._saved = checkpoint.get(KEY)

    def before_train(self, runner) -> None:
        """Put the method where the run being resumed was.

        Raises:
            UserError: what it is shown of an image before augmentation would lie elsewhere.
        """
        model = without_wrapper(runner.model)
        if not isinstance(model, AdaptedSegmentor):
            return
        self._model = model
        for transforms in pipelines(data_set_of(runner.train_dataloader)):
            check_kept_image(transforms)
        if self._saved and self._saved.get('parts', _parts(model)) != _parts(model):
            self._saved = None  # of another method, or with other anchors
        if runner.iter and self._saved:
            device = model.scale_weights.device
            model.load_training_state({n: t.to(device) for n, t in self._saved['state'].items()})
            with torch.no_grad():
                for name, tensor in self._saved['trained'].items():
                    model.state_dict()[name].copy_(tensor)

    def before_train_epoch(self, runner) -> None:
        """Begin the method, unless it goes on: once the source model has been judged as it is."""
        if self._model is None or (runner.iter and self._saved):
            return
        self._model.begin_training()
        if runner.iter and self._model.training_state():
            parts = ' with '.join(_parts(self._model))
            runner.logger.warning(
                f'the checkpoint to resume from holds no state of {parts}, which begins anew from '
                'its weights'
            )

    def before_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        """Say which iteration it is."""
        if self._model:
            self._model.iteration = runner.iter

    def after_train_iter(
        self, runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Say that the weights have changed, unless the iteration was skipped or made no step."""
        if not self._model or {'skipped', 'no_step'} & (outputs or {}).keys():
            return
        if runner.optim_wrapper.should_update():  # not at each one, where gradients add up
            self._model.after_iteration()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Put the weights to predict with in the place of the trained ones, and the state aside."""
        if self._model is None:
            return
        tensors, predicts = checkpoint['state_dict'], self._model.weights_to_predict_with()
        checkpoint[KEY] = {
            'parts': _parts(self._model),
            'state': {n: t.cpu() for n, t in self._model.training_state().items()},
            'trained': {name: tensors[name] for name in predicts},
        }
        tensors.update({name: tensor.cpu() for name, tensor in predicts.items()})


def _parts(model: AdaptedSegmentor) -> list[str]:
    """Return what has a state: the types of the method and of its anchors."""
    return [type(part).__name__ for part in (model, *model.anchors)]
