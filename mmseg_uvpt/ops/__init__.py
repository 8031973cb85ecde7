"""Multi-scale deformable attention (Zhu et al., "Deformable DETR", ICLR 2021, equation 3).

`DeformableAttention` is the layer. Below it lie two entries to one operation:
`deformable_attention` with the classic arguments, and `fused_deformable_attention`, which takes
a projection's raw offsets and logits. Either runs in compiled code where that was built for the
tensor's device, else in plain PyTorch; ``python -m mmseg_uvpt.ops`` tells.
"""

from mmseg_uvpt.ops.deformable import (
    DeformableAttention,
    deformable_attention,
    fused_deformable_attention,
)

__all__ = ['DeformableAttention', 'deformable_attention', 'fused_deformable_attention']
