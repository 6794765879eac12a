"""ONNX in 8 bits: static quantisation per channel, as QDQ pairs, calibrated on training images."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from icsd.core.labels import Pixels
from icsd.deployment.card import Card
from icsd.deployment.exporting import INPUT, set_card
from icsd.deployment.libraries import needed
from icsd.deployment.runners import input_of
from icsd.files import write_bytes

TYPES = ("Add", "Clip", "Concat", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "MaxPool", "Mul", "Relu")
"""Types of operators that compute in 8 bits.

Activation functions are among them: without them, a convolution's output would have to span what ReLU6 cuts
off. A pretrained EfficientNet-Lite0 keeps its class on 98 % of CamVid's pixels with them, on 78 % without.
Resizing of images and logits is not: it is cheap, and a rounded logit moves every class's borders.
"""


def int8_file(onnx_model: bytes, card: Card, images: Sequence[Pixels]) -> bytes:
    """Quantise a float32 model to 8 bits, and add its card.

    The convolution that gives the logits stays in float32, too: in 8 bits, classes with nearly equal logits
    would tie.

    Args:
        onnx_model: The content of the ONNX file.
        card: The card of the new file.
        images: Images that calibrate the ranges of the activations; never from the reported split.

    Raises:
        UserError: The libraries are not installed.
    """
    onnx = needed("onnx", wanted_by="int8")
    quantization = needed("onnxruntime.quantization", wanted_by="int8")
    with TemporaryDirectory() as folder, _quiet():
        place = Path(folder)
        write_bytes(place / "fp32.onnx", onnx_model)
        quantization.shape_inference.quant_pre_process(
            str(place / "fp32.onnx"), str(place / "ready.onnx"), skip_symbolic_shape=True
        )
        ready = onnx.load(str(place / "ready.onnx"))
        quantization.quantize_static(
            ready,
            str(place / "int8.onnx"),
            _Calibration(images, card),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(TYPES),
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[last_convolution(ready)],
            extra_options={"CalibMovingAverage": False},
        )
        model = onnx.load(str(place / "int8.onnx"))
    set_card(model, card)
    content: bytes = model.SerializeToString()
    return content


def last_convolution(model: Any) -> str:  # noqa: ANN401 - a message of protobuf
    """The name of the convolution that gives the logits."""
    makers = {output: node for node in model.graph.node for output in node.output}
    waiting = [model.graph.output[0].name]
    while waiting:
        node = makers.get(waiting.pop(0))
        if node is not None and node.op_type in {"Conv", "Gemm", "MatMul"}:
            name: str = node.name
            return name
        waiting += list(node.input) if node is not None else []
    return ""


class _Calibration:
    """Gives the runtime one image after another."""

    def __init__(self, images: Sequence[Pixels], card: Card) -> None:
        self._images: Iterator[Pixels] = iter(images)
        self._card = card

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        """The next input; None after the last."""
        image = next(self._images, None)
        return None if image is None else {INPUT: np.asarray(input_of([image], self._card))}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the runtime's advice on how to quantise, which is followed already."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
