"""A student's champion in every format: exported, checked, measured and timed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from icsd.arrays import write_arrays
from icsd.core.labels import Pixels
from icsd.data.shards import ShardedSplit
from icsd.deployed import DeployedStudent, FileForm, Format
from icsd.deployment.card import Card
from icsd.deployment.latency import Form
from icsd.deployment.measuring import confusion_of
from icsd.deployment.runners import NetworkRunner, open_file
from icsd.deployment.writing import SUFFIX, card_of_file, write_checked
from icsd.files import sha256_of
from icsd.models.weights import load_network
from icsd.params import Params
from icsd.reporting.results import ALONE, Run
from icsd.runs import RunKey
from icsd.stages.dataset import dataset_in
from icsd.stages.deploy.timing import form_of_file, form_of_network, timed
from icsd.stages.grid import teacher_key
from icsd.stages.trained import check_trained

ORDER: tuple[Format, ...] = ("onnx", "int8", "torch")
"""int8 comes after onnx, since it is made from the ONNX file if there is one."""
CHECKED = 2
"""Number of images on which a float32 file is compared with its network."""


@dataclass(frozen=True)
class Images:
    """The images that files are made with and measured on.

    Attributes:
        learnt: Some of the training images, [H, W, 3].
        reported: The reported split.
        size: Height and width of the split's first image as the networks see it.
    """

    learnt: Sequence[Pixels]
    reported: ShardedSplit
    size: tuple[int, int]


def deploy_student(
    root: Path, params: Params, run: Run, reason: str, folder: Path, images: Images
) -> DeployedStudent:
    """Write a champion's files to ``folder/<student>``, and measure them.

    Args:
        root: The repository.
        params: The parameters of this execution.
        run: The champion.
        reason: Why it is the champion.
        folder: The unfinished output folder of all students, which nothing reads yet.
        images: The images that the files are made with and measured on.

    Raises:
        UserError: A network is missing or damaged, or a file does not compute what its network does.
    """
    key = RunKey(params.dataset, run.method, run.student, run.seed)
    own = _opened(root, params, key)
    place = folder / run.student
    made = _made(own, params, place, images)
    forms = {"own": form_of_network(own, root / key.weights)} | _others(root, params, key)
    forms |= {name: form_of_file(file) for name, file in made.items()}
    times = timed(forms, images.size)
    return DeployedStudent(
        student=run.student,
        method=run.method,
        seed=run.seed,
        weights_sha256=own.card.weights_sha256,
        reason=reason,
        own=times["own"],
        alone=times.get("alone"),
        teacher=times.get("teacher"),
        files=tuple(
            FileForm(
                **times[name].model_dump(),
                format=name,
                file=file.name,
                sha256=sha256_of(file),
                confusion=_measured(file, name, images, params.runtime.threads),
            )
            for name, file in made.items()
        ),
    )


def _opened(root: Path, params: Params, key: RunKey) -> NetworkRunner:
    """A network of the grid with its card, on the CPU, where its exported files run as well."""
    check_trained(root, key)
    weights = root / key.weights
    network = load_network(weights).eval()
    dataset = dataset_in(params.data)
    card = Card(
        dataset=params.dataset,
        network=key.title,
        classes=dataset.classes,
        palette=dataset.palette,
        input_scale=params.images.input_scale,
        weights_sha256=sha256_of(weights),
    )
    return NetworkRunner(network, card, torch.device("cpu"))


def _made(own: NetworkRunner, params: Params, place: Path, images: Images) -> dict[Format, Path]:
    """Write and check the requested files; format -> file."""
    made: dict[Format, Path] = {}
    for name in (each for each in ORDER if each in params.deploy.formats):
        card = card_of_file(own.card, name, inside=params.deploy.preprocessing == "inside")
        file = place / f"{name}{SUFFIX[name]}"
        shown = images.learnt if name == "int8" else images.learnt[:CHECKED]
        exported = made["onnx"].read_bytes() if name == "int8" and "onnx" in made else None
        write_checked(file, own, card, name, shown, exported=exported)
        print(f"{own.card.network}: {file.name}, {file.stat().st_size / 1e6:.1f} MB", flush=True)
        made[name] = file
    return made


def _others(root: Path, params: Params, key: RunKey) -> dict[str, Form]:
    """The other networks that files are compared with: the teacher and the student alone."""
    keys = {"teacher": teacher_key(params)}
    if ALONE in params.grid.methods and key.method != ALONE:
        keys["alone"] = RunKey(params.dataset, ALONE, key.network, key.seed)
    return {
        name: form_of_network(_opened(root, params, other), root / other.weights)
        for name, other in keys.items()
    }


def _measured(file: Path, name: Format, images: Images, threads: int) -> str:
    """Write an exported file's confusion matrices beside it, and return the name of their file."""
    reported = images.reported
    pairs = (reported[index] for index in range(len(reported)))
    counts = confusion_of(open_file(file, threads), pairs, total=len(reported))
    beside = file.with_name(f"{name}.npz")
    write_arrays(beside, {"confusion": counts, "ids": np.array(reported.ids)})
    return beside.name
