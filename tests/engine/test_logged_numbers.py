"""Losses are read for the log, and not in every iteration."""

import torch
from mmengine.logging import MessageHub


def numbers(folder) -> dict:
    return torch.load(folder / 'iter_4.pth', weights_only=True)['message_hub']['log_scalars']


def test_numbers_do_not_depend_on_when_they_are_read(run, finished, monkeypatch):
    read, update = [], MessageHub.update_scalar

    def noted(self, key, *args, **kwargs):
        if key == 'train/loss':
            read.append(self.get_info('iter'))
        update(self, key, *args, **kwargs)

    monkeypatch.setattr(MessageHub, 'update_scalar', noted)
    at_3, expected = (
        numbers(run('--cfg-options', 'default_hooks.logger.interval=3')),
        numbers(finished),
    )
    assert read == [1, 1, 2, 3]  # at the first checkpoint, for the log, at the second
    losses = {name for name in expected if 'loss' in name or 'acc' in name}
    assert len(losses) == 3
    for name in losses:
        assert torch.equal(at_3[name][0], expected[name][0])
        assert len(at_3[name][0]) == 4
