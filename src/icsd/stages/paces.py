"""How long a method's training step takes, which sets its epochs under ``train.budget: seconds``.

``configs/pace/<dataset>.yaml`` holds what ``python -m pipeline pace`` measured. It is committed like
params.yaml, so no stage reads a clock, and a method trains for the same epochs on every machine.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from icsd.errors import UserError, refuse
from icsd.files import write_bytes
from icsd.params import Block, Count, Name, PacedTraining, Params, Positive
from icsd.params.written_files import read_written
from icsd.runs import RunKey, validated_folder
from icsd.stages.chosen_weights import tunable
from icsd.stages.execution import in_execution
from icsd.stages.grid import teacher_key
from icsd.stages.networks import numbers_of_network
from icsd.yaml_files import yaml_text

_HEADER = "# Written by python -m pipeline pace; read where params.yaml says `train.budget: seconds`.\n\n"
ADVICE = (
    "measure it with `python -m pipeline pace{names}`, which needs a teacher (`dvc repro train_teacher` "
    "under train.budget: epochs), or set train.budget to epochs"
)


class Pace(Block):
    """The measured pace of a method with a student.

    Attributes:
        pace: Time of a step relative to the student alone: the median over rounds, to two decimals.
        milliseconds: Median time of a step with the method.
        milliseconds_alone: Median time of a step of the student alone.
        rounds: Number of timed rounds, with one step of each.
        device: ``cpu``, or the model of the GPU.
        threads: Number of CPU threads.
        precision: ``runtime.precision``.
        of: What the step depends on: networks, images, batch size, options of the method.
    """

    pace: Annotated[float, Field(ge=1, le=1e6)]
    milliseconds: Positive
    milliseconds_alone: Positive
    rounds: Count
    device: str
    threads: Count
    precision: str
    of: dict[str, Any]


class PaceFile(Block):
    """The whole file: student -> method -> its pace."""

    students: dict[Name, dict[Name, Pace]]


def pace_path(dataset: str) -> Path:
    """The file of a dataset's paces, relative to the root of the repository."""
    return Path("configs") / "pace" / f"{dataset}.yaml"


def read_paces(root: Path, dataset: str) -> dict[str, dict[str, Pace]]:
    """Student -> method -> its pace; empty if nothing was measured.

    Raises:
        UserError: The file is not what the command writes.
    """
    otherwise = (
        "not as `python -m pipeline pace` writes it; bring it back with `git restore`, or delete it and "
        "measure all methods again"
    )
    written = read_written(root, pace_path(dataset), PaceFile, otherwise=otherwise)
    return written.students if written else {}


def write_paces(root: Path, dataset: str, paces: Mapping[str, Mapping[str, Pace]]) -> None:
    """Replace the file."""
    students = {
        student: {method: own[method].model_dump() for method in sorted(own)}
        for student, own in sorted(paces.items())
    }
    write_bytes(root / pace_path(dataset), f"{_HEADER}{yaml_text({'students': students})}".encode())


def epochs_at(pace: float, epochs: int) -> int:
    """Epochs that take as long at ``pace`` as ``epochs`` of the student alone; at least one."""
    return max(1, round(epochs / pace))


def with_pace(params: Params, pace: float | None) -> Params:
    """The parameter tree with the epochs that a method's pace allows; unchanged under equal epochs."""
    if pace is None or params.train.budget == "epochs":
        return params
    alone = params.train.epochs
    own = {"epochs": epochs_at(pace, alone), "pace": pace, "epochs_alone": alone}
    train = PacedTraining.model_validate(params.train.model_dump() | own)
    return params.model_copy(update={"train": train})


def budgeted(root: Path, params: Params, key: RunKey) -> Params:
    """The parameter tree that a network is trained with.

    Under DVC it has the pace that ``validate`` read at the beginning, even if it was measured again since.

    Raises:
        UserError: The pace is needed but was not measured, or was measured with other settings.
    """
    paced = params.train.budget == "seconds" and not key.is_teacher and params.methods[key.method].weights
    if not paced:
        return params
    if in_execution():
        return with_pace(params, _pace_of_execution(root, key))
    paces = read_paces(root, params.dataset)
    refuse(list(_problems(params, paces, [key])))
    return with_pace(params, paces[key.network][key.method].pace)


def paces_of(root: Path, params: Params) -> dict[tuple[str, str], float]:
    """(Method, student) -> pace, for the grid's methods that have a loss; empty under equal epochs.

    Raises:
        UserError: A pace was not measured, or was measured with other settings than those in params.yaml.
    """
    if params.train.budget == "epochs":
        return {}
    paces = read_paces(root, params.dataset)
    keys = [
        RunKey(params.dataset, method, student, seed=0)
        for method in tunable(params)
        for student in params.grid.students
        if student in params.networks.students
    ]
    refuse(list(_problems(params, paces, keys)))
    return {(key.method, key.network): paces[key.network][key.method].pace for key in keys}


def determined_by(params: Params, key: RunKey) -> dict[str, Any]:
    """What the time of a step depends on apart from the machine, as the file holds it."""
    train, block = params.train, params.methods[key.method].block
    options = {name: value for name, value in block.items() if name not in ("alw", "weights")}
    described = {
        "student": numbers_of_network(params, key),
        "teacher": numbers_of_network(params, teacher_key(params)),
        "classes": params.data.classes,
        "images": params.images.model_dump(),
        "batch": train.batch,
        "unlabelled": bool(train.unlabelled),
        "optimizer": train.optimizer,
        "auxiliary_loss": train.auxiliary_loss,
        "method": {**options, "terms": sorted(block["weights"])},
    }
    plain: dict[str, Any] = json.loads(json.dumps(described))  # turns tuples into lists
    return plain


def _problems(params: Params, paces: Mapping[str, Mapping[str, Pace]], keys: list[RunKey]) -> Iterator[str]:
    missing = [key for key in keys if key.method not in paces.get(key.network, {})]
    if missing:
        names = dict.fromkeys(key.method for key in missing)
        yield (
            f"train.budget: seconds, and how long a step takes was not measured with "
            f"{', '.join(names)} ({', '.join(dict.fromkeys(key.network for key in missing))}); "
            + ADVICE.format(names="".join(f" {name}" for name in names))
        )
    for key in keys:
        if key in missing:
            continue
        then, now = paces[key.network][key.method].of, determined_by(params, key)
        if then != now:
            yield (
                f"train.budget: seconds, and the step of {key.method} with {key.network} was changed since "
                f"it was measured ({_first_difference(then, now)}); "
                + ADVICE.format(names=f" {key.method} --student {key.network}")
            )


def _first_difference(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> str:
    key = next(key for key in {**then, **now} if then.get(key) != now.get(key))
    before, after = then.get(key), now.get(key)
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _first_difference(before, after, f"{prefix}{key}.")
    return f"{prefix}{key}: {before} then, {after} now"


def _pace_of_execution(root: Path, key: RunKey) -> float:
    file = validated_folder(key.dataset) / "students" / key.method / f"{key.network}.json"
    try:
        return float(json.loads((root / file).read_bytes())["numbers"]["training"]["pace"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{file}: not as `validate` writes it; run `dvc repro -f validate`") from None
