"""Batch norm over several processes on any device: torch's own refuses the CPU."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm whose mean and variance are those of all processes' batches together.

    Parameters, buffers and results are those of `torch.nn.BatchNorm2d` given the joint batch; in
    half precision it computes in float32, as that does.

    Attributes:
        after: what follows within the layer; nothing but for those of timm.
    """

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.after = nn.Sequential()

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f'batch norm takes (B, C, ...), not {tuple(input.shape)}')

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised input, (B, C, ...) of the same shape on each process."""
        return self.after(self._normed(input))

    def _normed(self, input: Tensor) -> Tensor:
        if not self.training or dist.get_world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input if input.dtype == torch.float64 else input.float()
        count, mean, variance = joint_moments(x)
        if self.track_running_stats:
            self.num_batches_tracked += 1
            factor = self.momentum
            if factor is None:  # the mean of all batches
                factor = 1 / self.num_batches_tracked.item()
            with torch.no_grad():
                unbiased = variance * count / (count - 1).clamp(min=1)
                self.running_mean.lerp_(mean.to(self.running_mean), factor)
                self.running_var.lerp_(unbiased.to(self.running_var), factor)
        shape = (1, -1) + (1,) * (input.dim() - 2)
        scale = torch.rsqrt(variance + self.eps)
        normed = (x - mean.view(shape)) * scale.view(shape)
        return (normed * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)


def joint_moments(input: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (number, mean, biased variance) of each channel over all processes.

    Args:
        input: (B, C, ...) of this process; sizes may differ between processes.

    Returns:
        tuple: a scalar and two tensors (C,), differentiable.
    """
    dims = [i for i in range(input.dim()) if i != 1]
    own = input.new_tensor([input.numel() / input.shape[1]])
    sums = all_reduce(torch.cat([input.sum(dims), own]))
    count, mean = sums[-1], sums[:-1] / sums[-1]
    shape = (1, -1) + (1,) * (input.dim() - 2)
    # around the joint mean: a mean of squares less a squared mean would lose digits
    squares = all_reduce((input - mean.view(shape)).square().sum(dims))
    return count, mean, squares / count


def convert(module: nn.Module) -> nn.Module:
    """Put `SyncBatchNorm` in the place of each batch norm; parameters and buffers are kept."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            own = SyncBatchNorm(child.num_features, child.eps, child.momentum, child.affine)
            own._parameters, own._buffers = child._parameters, child._buffers
            own.after.extend(child.children())  # dropout and activation of timm's BatchNormAct2d
            own.train(child.training)
            setattr(module, name, own)
        else:
            convert(child)
    return module
