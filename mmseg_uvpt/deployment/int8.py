"""Static quantisation of an ONNX file to int8 by onnxruntime."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from mmseg_uvpt.deployment.formats import INPUT, imported, quiet, with_metadata

IMAGES = 64  # that activations are measured on
# What takes the time. All else stays in float32: softmax, norms, sampling, resizing.
QUANTISED = ('Conv', 'MatMul', 'Gemm')


def quantised(data: bytes, images: Iterable[Tensor]) -> bytes:
    """Quantise convolutions and products of an ONNX file, a scale a channel of their weights.

    Weights have 7 bits: two products of 8 overflow on processors without VNNI instructions.

    Args:
        data: the file.
        images: uint8 (B, 3, H, W), that the ranges of activations are taken from.

    Returns:
        bytes: the quantised file, with the same metadata but ``precision``.
    """
    onnx, quantization = imported('onnx'), imported('onnxruntime.quantization')
    with quiet(), tempfile.TemporaryDirectory() as folder:
        plain, out = Path(folder) / 'plain.onnx', Path(folder) / 'int8.onnx'
        plain.write_bytes(data)
        quantization.quantize_static(
            plain,
            out,
            _reader(images),
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=[*QUANTISED],
        )
        model = onnx.load(out)
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(data).metadata_props}
    return with_metadata(model, {**metadata, 'precision': 'int8'})


def _reader(images: Iterable[Tensor]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict | None:
            image = next(self.images, None)
            return None if image is None else {INPUT: image.numpy()}

    return Reader()


def agreement(eager: Iterable[Tensor], found: Iterable[Tensor]) -> float:
    """Return the part of the pixels, 0..1, of which two lists of logits have the same label."""
    same = [(a.argmax(1) == b.argmax(1)).float().mean() for a, b in zip(eager, found, strict=True)]
    return torch.stack(same).mean().item()
