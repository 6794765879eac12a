"""The protocol card: the data, networks and training settings, from the runs' own records."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from icsd.records import NetworkRecord, TrainRecord
from icsd.reporting.results import Results, Run
from icsd.reporting.style import architecture_label
from icsd.reporting.tables.cells import Display
from icsd.reporting.tables.columns import texts_display
from icsd.reporting.tables.merging import merged
from icsd.reporting.tables.recipes import has_terms

BUDGET = "equal time: the epochs of the student alone, divided by training.pace"
"""Text for students that were trained under ``train.budget: seconds``."""


def rows(results: Results) -> pd.DataFrame:
    """One row per setting, with columns setting, teacher and students; values that differ name their runs."""
    students = [run for run in results.runs.values() if run.training or run.metrics]
    columns = {"teacher": _facts([results.teacher]), "students": _facts(students)}
    # Descriptions begin with a capital letter and come before the parameters, in either column.
    settings = sorted(dict.fromkeys([*columns["teacher"], *columns["students"]]), key=str.islower)
    table = [
        {"setting": setting, **{role: facts.get(setting) for role, facts in columns.items()}}
        for setting in settings
    ]
    return pd.DataFrame(table, columns=["setting", "teacher", "students"])


def display(table: pd.DataFrame) -> Display:
    """Format the card."""
    return texts_display("protocol", "Protocol", table, ("Setting", "Teacher", "Students"), num_labels=3)


def _facts(runs: Sequence[Run]) -> dict[str, str]:
    """Descriptions in a reader's order, then every parameter under its own name, sorted."""
    facts = [(run, _described(run)) for run in runs]
    settings = dict.fromkeys(setting for _, described in facts for setting in described)
    parameters = [(run, dict(_flat(run.training.params))) for run in runs if run.training]
    names = dict.fromkeys(name for _, flat in parameters for name in flat)
    return {name: merged([(run, own[name]) for run, own in facts if name in own]) for name in settings} | {
        name: merged([(run, own.get(name)) for run, own in parameters]) for name in sorted(names)
    }


def _described(run: Run) -> dict[str, str]:
    record = run.metrics or run.training
    described = {"Dataset": record.dataset} if record else {}
    if run.metrics:
        metrics = run.metrics
        named = [f"{index} {name}" for index, name in enumerate(metrics.classes)]
        described["Classes"] = f"{len(named)}: {', '.join(named)}"
        described["Reported on"] = f"{metrics.split}, {metrics.num_images} images"
        if metrics.absent_classes:
            described["Left out of the mean"] = (
                f"{', '.join(metrics.absent_classes)} (absent from this split)"
            )
    if run.training:
        described |= _trained(run.training)
    if run.metrics:
        described["Parameters"] = f"{run.metrics.parameters:,}"
    return described | {"Seeds": str(run.seed)} if record else {}


def _trained(training: TrainRecord) -> dict[str, str]:
    network = training.network
    return {
        "Training images": f"{training.num_train_images}{training.and_unlabelled}"
        f"{', half of every batch' if training.num_unlabelled_images else ''}",
        "Validation images": str(training.num_validation_images),
        "Network": _network(network),
        **({} if network.output_stride is None else {"Output stride": str(network.output_stride)}),
        "Initial weights": _initial_weights(training),
        **(_schedule(training) if training.epochs else {"Epochs": "none: used as it was loaded"}),
        **_resizing(training.params.get("images", {})),
        **({"Weights reported": _selected(training)} if training.epochs else {}),
        **({"Weights of loss terms": str(training.weights_source)} if has_terms(training) else {}),
    }


def _network(network: NetworkRecord) -> str:
    label = architecture_label(network.architecture, network.backbone)
    return f"{label}, width {network.width:g}" if network.architecture != network.backbone else label


def _selected(training: TrainRecord) -> str:
    epoch = "" if training.selected_epoch is None else f" (epoch {training.selected_epoch})"
    return "last epoch" if training.selected == "last" else f"best on validation{epoch}"


def _schedule(training: TrainRecord) -> dict[str, str]:
    return {
        "Optimiser": f"{_optimiser(training)}, poly schedule per iteration",
        "Epochs": str(training.epochs),
        **({} if training.pace is None else {"Budget": BUDGET}),
        "Batch": str(training.batch),
        "Crop": f"{training.crop[0]} × {training.crop[1]}",
    }


def _initial_weights(training: TrainRecord) -> str:
    if training.loaded is not None:
        digest = training.provenance.weights if training.provenance else None
        return f"whole network from {training.loaded}" + (f", SHA-256 {digest[:12]}" if digest else "")
    if isinstance(training.pretrained, bool):
        return "ImageNet weights" if training.pretrained else "from scratch"
    digest = training.provenance.pretrained if training.provenance else None
    return f"file {training.pretrained}" + (f", SHA-256 {digest[:12]}" if digest else "")


def _optimiser(training: TrainRecord) -> str:
    settings = training.params.get("training", {})
    name = {"sgd": "SGD", "adamw": "AdamW"}[settings.get("optimizer", "sgd")]
    warmup = settings.get("warmup_epochs", 0)
    return f"{name}, warm-up of {warmup:g} epochs" if warmup else name


def _resizing(images: Mapping[str, Any]) -> dict[str, str]:
    """How images are resized for the networks; labels keep their size where results are measured."""
    if "input_scale" not in images:
        return {}
    factor = images["input_scale"]
    seen = "at their own size" if factor == 1 else f"× {factor:g} (bilinear, antialiased)"
    policy = {"Resizing": f"images {seen}; predictions upsampled to labels of their own size for evaluation"}
    if "scale" in images:
        low, high = images["scale"]
        policy["Random scaling"] = f"× {low:g} to {high:g} before the crop, on top of that"
    return policy


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)
