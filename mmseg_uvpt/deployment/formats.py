"""The two formats of an exported network, as bytes: `torch.export`'s .pt2, and ONNX."""

import importlib
import io
import json
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from mmseg_uvpt.deployment.exported_network import ExportedNetwork
from mmseg_uvpt.errors import UserError, first_line
from mmseg_uvpt.ops import backends

PT2, ONNX = SUFFIXES = ('.pt2', '.onnx')
METADATA = 'metadata.json'  # of the .pt2's extra files
INPUT, OUTPUT = 'images', 'logits'
OPSET = 18  # GridSample came with 16
# height and width; nothing is computed of it. A single window or pixel of a stage is another graph
# than several are: of such an image every stage of every backbone has several
EXAMPLE = (1184, 1312)

Runner = Callable[[Tensor], Tensor]


def require_onnx() -> None:
    """Raise a `UserError` unless the packages that write and run ONNX are there."""
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        imported(name)


def imported(name: str) -> ModuleType:
    """Return a package of the extra `export`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"ONNX needs the package {name}: python -m pip install 'mmseg-uvpt[export]'"
        ) from error


def exported_program(
    network: ExportedNetwork, fixed_size: tuple[int, int] | None = None
) -> ExportedProgram:
    """Trace a network by `torch.export`, operators as their plain references.

    Args:
        network: on the CPU.
        fixed_size: height and width of the images that it shall take; None leaves them open. The
            batch is open in any case.

    Raises:
        UserError: the network cannot be traced so.
    """
    example = torch.zeros(2, 3, *(fixed_size or EXAMPLE), dtype=torch.uint8)
    open_dims = (0,) if fixed_size else (0, 2, 3)
    shapes = (dict.fromkeys(open_dims, Dim.DYNAMIC),)
    try:
        with torch.no_grad(), backends.forced('reference'), quiet():
            program = torch.export.export(network, (example,), dynamic_shapes=shapes, strict=False)
    except Exception as error:  # of any part of the model
        kind = type(getattr(network.segmentor.backbone, 'staged', network.segmentor.backbone))
        instead = '' if fixed_size else '. A fixed size may do: --fixed-size HEIGHT WIDTH'
        raise UserError(
            f'{kind.__name__} cannot be exported for '
            f'{"this size" if fixed_size else "open sizes"}: {type(error).__name__}: '
            f'{first_line(error)}{instead}'
        ) from error
    program.example_inputs = None  # which would be saved, too
    return program


def smallest_size(program: ExportedProgram) -> tuple[int, int]:
    """Return the smallest height and width that a program accepts."""
    (images,) = (node for node in program.graph.nodes if node.name == INPUT)
    sides = images.meta['val'].shape[2:]
    lowest = (
        side if isinstance(side, int) else program.range_constraints[side.node.expr].lower
        for side in sides
    )
    return tuple(map(int, lowest))


def pt2_bytes(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """Return a .pt2 file: the program, and its metadata as JSON in the extra file `METADATA`."""
    file = io.BytesIO()
    with quiet():
        torch.export.save(program, file, extra_files={METADATA: json.dumps(dict(metadata))})
    return file.getvalue()


def onnx_bytes(program: ExportedProgram, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX file with its metadata as ``metadata_props``.

    Raises:
        UserError: a package is missing; or an operator is none of ONNX's.
    """
    require_onnx()
    try:
        with quiet():
            made = torch.onnx.export(
                program,
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                custom_translation_table={operator.floordiv: _floor_divided},
                verbose=False,
            )
        return with_metadata(made.model_proto, metadata)
    except Exception as error:  # of any operator, or of more than 2 GB
        raise UserError(
            f'the network cannot be written as ONNX: {first_line(error)}. --out FILE.pt2 may do'
        ) from error


def with_metadata(model: object, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX model (`onnx.ModelProto`) as a file that has this metadata."""
    imported('onnx').helper.set_model_props(model, dict(metadata))
    return model.SerializeToString()


def _floor_divided(a, b):
    """Divide integers as Python does: ONNX rounds towards 0, and ``-(-a // b)`` rounds up."""
    op = imported('onnxscript').opset18
    return op.Div(op.Sub(a, op.Mod(a, b)), b)


def run_pt2(data: bytes) -> Runner:
    """Return the network of a .pt2 file as a function of uint8 images (B, 3, H, W)."""
    module = torch.export.load(io.BytesIO(data)).module()
    return torch.no_grad()(module)


def run_onnx(data: bytes, threads: int = 0) -> Runner:
    """Return the network of an ONNX file as a function of uint8 images, on onnxruntime's CPU.

    Args:
        data: the file.
        threads: that it takes; 0 for one a core.
    """
    runtime = imported('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(data, options, providers=['CPUExecutionProvider'])

    def run(images: Tensor) -> Tensor:
        (logits,) = session.run([OUTPUT], {INPUT: np.ascontiguousarray(images.numpy())})
        return torch.from_numpy(logits)

    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what exporters and quantisers say of their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
