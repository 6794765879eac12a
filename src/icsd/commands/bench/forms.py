"""The forms in which a MODEL is measured: as it is, compiled, and as exported files."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from icsd.commands.named_models import open_model, open_network, weights_of
from icsd.deployment.card import Card
from icsd.deployment.exporting import onnx_file
from icsd.deployment.latency import Form
from icsd.deployment.libraries import needed
from icsd.deployment.quantising import int8_file
from icsd.deployment.runners import NetworkRunner, open_file
from icsd.deployment.writing import card_of_file
from icsd.errors import first_line
from icsd.files import write_bytes
from icsd.stages.registered import RECORD

Kind = Literal["eager", "compiled", "onnx", "int8"]
KINDS: tuple[Kind, ...] = ("eager", "compiled", "onnx", "int8")
LABELS: dict[Kind, str] = {
    "eager": "torch eager",
    "compiled": "torch compiled",
    "onnx": "ONNX Runtime fp32",
    "int8": "ONNX Runtime int8",
}
_CALIBRATED = 2
"""Images of noise that calibrate int8; noise suffices for a file that is only timed."""
_RECOMPILE_LIMIT = 1000
"""Every size and number of threads is compiled separately; beyond the limit, torch runs uncompiled."""


@dataclass(frozen=True)
class Row:
    """A form, and its names in the table."""

    model: str
    label: str
    form: Form


@dataclass(frozen=True)
class Model:
    """A MODEL that was found.

    Attributes:
        named: The MODEL as it was typed.
        file: Its weights, or the exported file.
        card: Its card.
        is_file: Whether it is an exported file.
    """

    named: str
    file: Path
    card: Card
    is_file: bool


def find(root: Path, named: str, dataset: str | None) -> Model:
    """Open a MODEL once, to check that it can be opened.

    Raises:
        UserError: See ``icsd.commands.named_models``.
    """
    cpu = torch.device("cpu")
    runner = open_model(root, named, dataset=dataset, device=cpu)
    if isinstance(runner, NetworkRunner):
        return Model(named, weights_of(root, named), runner.card, is_file=False)
    return Model(named, Path(named).expanduser(), runner.card, is_file=True)


def check_libraries(models: Sequence[Model], kinds: Sequence[Kind]) -> None:
    """Check beforehand that networks can be exported.

    Raises:
        UserError: A library of the extra is missing.
    """
    if all(model.is_file for model in models):
        return
    for kind in kinds:
        if kind in ("onnx", "int8"):
            for library in ("onnx", "onnxscript", "onnxruntime"):
                needed(library, wanted_by=f"bench in the form {kind} (--form eager leaves it out)")


def without_compiler(device: torch.device) -> str | None:
    """Why nothing can be compiled for a device; None if compiling works."""
    _quiet()
    try:
        compiled = torch.compile(_probe, dynamic=False)
        compiled(torch.ones(64, device=device))
    except Exception as error:  # a compiler may raise any exception
        return first_line(error)[:200]
    return None


def rows_of(
    root: Path,
    model: Model,
    kinds: Sequence[Kind],
    devices: Sequence[torch.device],
    folder: Path,
    tell: Callable[[str], None],
) -> Iterator[Row]:
    """The forms of a model; exported files are written into a folder.

    Args:
        root: The repository.
        model: The model.
        kinds: Forms of a network; an exported file has only one.
        devices: Devices on which torch runs it; exported files run on the CPU.
        folder: An empty folder, which the caller removes.
        tell: Called with a message before each export.

    Raises:
        UserError: The model cannot be exported.
    """
    if model.is_file:
        if devices[0].type == "cpu":
            yield _row(model, _label_of(model), partial(open_file, model.file), model.file)
        return
    opening = partial(_open, root, str(model.file), model.card.dataset)
    for device in devices:
        on = "" if device.type == "cpu" else f", {torch.cuda.get_device_name(device)}"
        for kind in kinds:
            if kind in ("eager", "compiled"):
                made = partial(opening, device.type, kind == "compiled")
                yield _row(model, f"{LABELS[kind]}{on}", made, model.file)
    if devices[0].type != "cpu":
        return
    exported = _exported(root, model, kinds, folder, tell) if {"onnx", "int8"} & set(kinds) else {}
    for kind, file in exported.items():
        yield _row(model, LABELS[kind], partial(open_file, file), file)


def _row(model: Model, label: str, opening: Callable[[int], object], file: Path) -> Row:
    return Row(model.named, label, Form(f"{model.named}, {label}", opening, file))  # type: ignore[arg-type]


def _label_of(model: Model) -> str:
    if model.file.suffix == ".onnx":
        return LABELS["int8" if model.card.precision == "int8" else "onnx"]
    return f"torch.export {model.card.precision}"


def _open(root: Path, weights: str, dataset: str, device: str, compiled: bool, threads: int) -> NetworkRunner:
    """Open a network, here or in the process that measures its memory; the caller sets torch's threads."""
    runner = _network(root, weights, dataset, torch.device(device))
    if not compiled:
        return runner
    _quiet()
    torch._dynamo.config.recompile_limit = _RECOMPILE_LIMIT
    return NetworkRunner(
        torch.compile(runner.network, dynamic=False),  # type: ignore[arg-type]
        runner.card,
        runner.device,
    )


def _network(root: Path, weights: str, dataset: str, device: torch.device) -> NetworkRunner:
    has_record = Path(weights).with_name(RECORD).is_file()
    return open_network(root, weights, dataset=None if has_record else dataset, device=device)


def _exported(
    root: Path, model: Model, kinds: Sequence[Kind], folder: Path, tell: Callable[[str], None]
) -> dict[Kind, Path]:
    runner = _network(root, str(model.file), model.card.dataset, torch.device("cpu"))
    tell(f"{model.named}: exporting to ONNX")
    content = onnx_file(runner.network, card_of_file(runner.card, "onnx", inside=False))
    files: dict[Kind, Path] = {}
    if "onnx" in kinds:
        files["onnx"] = folder / "fp32.onnx"
        write_bytes(files["onnx"], content)
    if "int8" in kinds:
        tell(f"{model.named}: quantising to int8")
        card = card_of_file(runner.card, "int8", inside=False)
        noise = np.random.default_rng(0).integers(0, 256, (_CALIBRATED, 64, 96, 3)).astype(np.uint8)
        files["int8"] = folder / "int8.onnx"
        write_bytes(files["int8"], int8_file(content, card, list(noise)))
    return files


def _quiet() -> None:
    """Silence torch's note that a machine with CUDA's compiler has no GPU."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


def _probe(values: torch.Tensor) -> torch.Tensor:
    return values.sin() + 1
