"""The commands' MODEL: a run, an address of MLflow's registry, or an exported file."""

from pathlib import Path

import torch
from pydantic import ValidationError

from icsd.core.normalisation import IMAGENET_MEAN, IMAGENET_STD
from icsd.datasets.base import Colour
from icsd.deployment.card import Card
from icsd.deployment.runners import SUFFIXES, NetworkRunner, Runner, open_file
from icsd.errors import UserError, did_you_mean
from icsd.files import sha256_of
from icsd.models.weights import load_network
from icsd.params import Data
from icsd.params.messages import explained
from icsd.params.reading import listed, preset_name
from icsd.records import TrainRecord, read_record
from icsd.stages.dataset import dataset_in
from icsd.stages.registered import RECORD, SUFFIX, fetch, is_registered
from icsd.yaml_files import read_yaml

KINDS = "a run's folder (runs/…), a weights file, models:/name@alias, or an exported .onnx or .pt2"


def open_model(root: Path, named: str, *, dataset: str | None, device: torch.device) -> Runner:
    """Open a MODEL.

    Args:
        root: The repository.
        named: The MODEL.
        dataset: A preset, for weights without the record of their training; else None.
        device: Where a network of this project runs; exported files run on the CPU.

    Raises:
        UserError: There is no such model, it is damaged, or its classes are unknown.
    """
    path = Path(named).expanduser()
    if not is_registered(named) and path.suffix in SUFFIXES:
        runner = open_file(path)
        if dataset not in (None, runner.card.dataset):
            raise UserError(f"--dataset {dataset}: {named} says that it was trained on {runner.card.dataset}")
        return runner
    return open_network(root, named, dataset=dataset, device=device)


def open_network(root: Path, named: str, *, dataset: str | None, device: torch.device) -> NetworkRunner:
    """Like ``open_model``, but only for a network of this project.

    Raises:
        UserError: See ``open_model``.
    """
    weights = weights_of(root, named)
    network = load_network(weights).to(device).eval()
    if not all(value.isfinite().all() for value in network.state_dict().values()):
        raise UserError(f"{weights}: its training diverged, and its weights are not finite")
    card = _card(root, weights, dataset)
    channels = network.channels["logits"]
    if channels != len(card.classes):
        raise UserError(f"{weights}: it has {channels} classes, and {card.dataset} has {len(card.classes)}")
    return NetworkRunner(network, card, device)


def weights_of(root: Path, named: str) -> Path:
    """The file of a network's weights, with the record of its training beside it.

    Raises:
        UserError: There is none.
    """
    if not named.strip():
        raise UserError(f"MODEL: is empty; it is {KINDS}")
    path = fetch(root, named, setting="MODEL") if is_registered(named) else Path(named).expanduser()
    if path.is_dir():
        found = sorted(path.glob(f"*{SUFFIX}"))
        if len(found) != 1:
            raise UserError(
                f"{named}: holds {len(found)} {SUFFIX} files, and a network is read from one; {_meant(path)}"
            )
        return found[0]
    if not path.is_file():
        raise UserError(f"{named}: there is no such model; MODEL is {KINDS}")
    if path.suffix in SUFFIXES:
        raise UserError(
            f"{named}: is an exported file already; name the network that it was exported from: a run's "
            "folder (runs/…), a weights file or models:/name@alias"
        )
    if path.suffix != SUFFIX:
        raise UserError(f"{named}: is none of {KINDS}")
    return path


def _meant(folder: Path) -> str:
    """A hint at the intended model, for a folder that is not a run's."""
    if runs := sorted(folder.glob(f"**/*{SUFFIX}")):
        return f"did you mean {runs[0].parent}?"
    if files := sorted(file for suffix in SUFFIXES for file in folder.glob(f"**/*{suffix}")):
        return f"did you mean {files[0]}?"
    return f"MODEL is {KINDS}"


def data_of(record: TrainRecord, place: Path) -> Data:
    """The block ``data`` that a network was trained with.

    Raises:
        UserError: The record has none, like those of older versions.
    """
    return _parsed(record.params.get("data"), f"{place}: params.data")


def _card(root: Path, weights: Path, dataset: str | None) -> Card:
    place, digest = weights.with_name(RECORD), sha256_of(weights)
    try:
        record = read_record(place, TrainRecord)
    except FileNotFoundError:
        if dataset is None:
            raise UserError(
                f"{weights}: there is no {RECORD} beside it, so its classes, their colours and the scale of "
                "its images are not known; give --dataset NAME if it was trained with that preset"
            ) from None
        return _card_of_preset(root, dataset, digest)
    if record.weights_sha256 not in (None, digest):
        raise UserError(
            f"{weights}: damaged or replaced since training wrote it ({RECORD} has another digest)"
        )
    if dataset not in (None, record.dataset):
        raise UserError(f"--dataset {dataset}: {place} says that it was trained on {record.dataset}")
    data = dataset_in(data_of(record, place))
    scale = record.params.get("images", {}).get("input_scale", 1.0)
    network = f"{record.method or record.kind} · {_name(record, weights)} · seed {record.seed}"
    return _filled(record.dataset, network, data.classes, data.palette, float(scale), digest)


def _name(record: TrainRecord, weights: Path) -> str:
    """The student's name in the grid if the folder has it; otherwise its backbone."""
    name, _, seed = weights.parent.name.rpartition("-")
    return name if record.kind == "student" and seed == str(record.seed) else record.network.backbone


def _card_of_preset(root: Path, dataset: str, digest: str) -> Card:
    known = sorted(path.stem for path in (root / "configs" / "datasets").glob("*.yaml"))
    if dataset not in known:
        raise UserError(f"--dataset: no preset {dataset!r}{did_you_mean(dataset, known)}")
    preset = read_yaml(root / preset_name(dataset))
    data = dataset_in(_parsed(preset.get("data"), f"{preset_name(dataset)}: data"))
    images = preset.get("images")
    scale = images.get("input_scale") if isinstance(images, dict) else None
    if not isinstance(scale, int | float) or isinstance(scale, bool):
        raise UserError(
            f"{preset_name(dataset)}: images.input_scale: is not there, or no number, so the scale of the "
            "images that the network has seen is not known; write it there"
        )
    return _filled(dataset, "weights without a record", data.classes, data.palette, float(scale), digest)


def _filled(
    dataset: str,
    network: str,
    classes: tuple[str, ...],
    palette: tuple[Colour, ...],
    scale: float,
    digest: str,
) -> Card:
    return Card(
        dataset=dataset,
        network=network,
        classes=classes,
        palette=palette,
        input_scale=scale,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        weights_sha256=digest,
    )


def _parsed(block: object, place: str) -> Data:
    if not isinstance(block, dict):
        raise UserError(f"{place}: is not there, so the classes are not known; give --dataset NAME")
    try:
        return Data.model_validate({"source": None, "sources": [], **block})
    except ValidationError as error:
        raise listed(f"{place}: does not describe a dataset", explained(error, schema=Data)) from None
