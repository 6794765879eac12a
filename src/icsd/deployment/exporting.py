"""Exports a network to a file: a torch.export program, or ONNX made from such a program."""

import io
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from icsd.deployment.card import KEY, Card
from icsd.deployment.libraries import needed
from icsd.programs import TRACED, bare, program_of, segmenter

OPSET = 18
"""The first ONNX opset whose Resize averages when it shrinks (antialias), as the images' scaling does."""
INPUT, OUTPUT = "images", "logits"
_SYMBOL = re.compile(r"\bs\d+\b")


def torch_file(network: nn.Module, card: Card) -> bytes:
    """The network as a torch.export program with its card, for any number and size of images."""
    content = io.BytesIO()
    torch.export.save(_program(network, card)[0], content, extra_files={KEY: card.to_json()})
    return content.getvalue()


def onnx_file(network: nn.Module, card: Card) -> bytes:
    """The network as ONNX with its card, for any number and size of images.

    Raises:
        UserError: The libraries are not installed.
    """
    for name in ("onnx", "onnxscript"):
        needed(name, wanted_by="ONNX")
    program, example = _program(network, card)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's warnings about itself
        exported = torch.onnx.export(
            program,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    sizes = (0, 1, 2) if card.preprocessing == "inside" else (0, 2, 3)
    _name_sizes(model, dict(zip(sizes, ("batch", "height", "width"), strict=True)))
    _without_traces(model)
    set_card(model, card)
    content: bytes = model.SerializeToString()
    return content


def set_card(model: Any, card: Card) -> None:  # noqa: ANN401 - a message of protobuf
    """Write a card into an ONNX model, replacing its metadata."""
    del model.metadata_props[:]
    model.metadata_props.add(key=KEY, value=card.to_json())


def _program(network: nn.Module, card: Card) -> tuple[ExportedProgram, Tensor]:
    """The program, and the images that it was traced on."""
    if card.preprocessing == "inside":
        module = segmenter(network, input_scale=card.input_scale, mean=card.mean, std=card.std)
        pixels = np.random.default_rng(0).integers(0, 256, (2, *TRACED, 3)).astype(np.uint8)
        example, sizes = torch.from_numpy(pixels), (0, 1, 2)
    else:
        module, sizes = bare(network), (0, 2, 3)
        example = torch.linspace(-2, 2, 6 * TRACED[0] * TRACED[1]).reshape(2, 3, *TRACED)
    return program_of(module, example, sizes=sizes), example


def _name_sizes(model: Any, axes: Mapping[int, str]) -> None:  # noqa: ANN401
    """Replace the exporter's symbols for the dynamic sizes by readable names."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    names = {dims[axis].dim_param: name for axis, name in axes.items()}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = _SYMBOL.sub(lambda found: names.get(found[0], found[0]), dim.dim_param)


def _without_traces(model: Any) -> None:  # noqa: ANN401
    """Remove the exporter's notes on every node, which contain names of folders on this machine."""
    for part in (model.graph, *model.functions):
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
