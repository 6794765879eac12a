"""Tuned weights: the file that ``python -m pipeline tune`` writes, and their way into the parameters.

``configs/tuned/<dataset>.yaml`` holds, for every tuned method, the chosen weights, the block that the search
began from, and how they were found. ``weights: tuned`` in params.yaml puts them in the place of the blocks'
own, for all methods of the grid or for none: a comparison of tuned and untuned methods compares the tuning.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from icsd.errors import UserError
from icsd.files import write_bytes
from icsd.params import Block, Count, Name, Natural, NonNegative, Params, Positive, load_params, read_yaml

_HEADER = "# Written by python -m pipeline tune; read where params.yaml says `weights: tuned`.\n\n"
_BUDGET = ("student", "seed", "epochs", "trials", "range", "data_sha256", "teacher_sha256")

Share = Annotated[float, Field(ge=0, le=1)]


class Provenance(Block):
    """How weights were found.

    Attributes:
        factor: What the block's own weights were multiplied by.
        miou: On the validation split, of the best trial, as a fraction.
        miou_given: Of the block's own weights; null where that training diverged.
        miou_alone: Of the student without a teacher, trained with the same seed and epochs.
        trials: Students trained, those that diverged included.
        diverged: How many of them ended with a loss that is not finite.
        range: Factors lay between 1 / range and range.
        student: Backbone of the trials.
        study: Hash of all that determines the trials: data, teacher, code, numbers.
    """

    factor: Positive
    miou: Share
    miou_given: Share | None
    miou_alone: Share
    split: str
    trials: Count
    diverged: Natural
    range: Positive
    epochs: Count
    seed: Natural
    student: str
    teacher_sha256: str
    data_sha256: str
    study: str


class Tuned(Block):
    """One method's entry: the weights, the block of params.yaml that they belong to, and their origin."""

    weights: dict[Name, NonNegative]
    provenance: Provenance
    block: dict[str, Any]


class TunedFile(Block):
    """The whole file."""

    methods: dict[Name, Tuned]


def tuned_path(dataset: str) -> Path:
    """Where a dataset's tuned weights are, from the root of the repository."""
    return Path("configs") / "tuned" / f"{dataset}.yaml"


def read_tuned(root: Path, dataset: str) -> dict[str, Tuned]:
    """Every tuned method of a dataset; empty where nothing was tuned.

    Raises:
        UserError: The file is not what the command writes.
    """
    path = root / tuned_path(dataset)
    if not path.exists():
        return {}
    try:
        return TunedFile.model_validate(read_yaml(path)).methods
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise UserError(
            f"{tuned_path(dataset)}: not as python -m pipeline tune writes it; run it again:\n"
            + "\n".join(lines)
        ) from None


def write_tuned(root: Path, dataset: str, methods: dict[str, Tuned]) -> None:
    """Replace the file, in the layout that ``dvc exp run -S`` would give it."""
    from dvc.utils.serialize import dumps_yaml  # slow to import

    content = {"methods": {name: methods[name].model_dump() for name in sorted(methods)}}
    write_bytes(root / tuned_path(dataset), f"{_HEADER}{dumps_yaml(content)}".encode())


def chosen_params(root: Path) -> Params:
    """The tree of ``root`` with the weights that it asks for: the blocks' own, or the tuned ones.

    Raises:
        UserError: A mistake in the parameters, or tuned weights that are missing or cannot be compared.
    """
    params = load_params(root)
    if params.weights == "given":
        return params
    tuned = read_tuned(root, params.dataset)
    problems = _missing(params, tuned) or [*_changed(params, tuned), *_unequal(params, tuned)]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(f"weights: tuned, with {tuned_path(params.dataset)}:\n{lines}")
    return with_weights(params, {name: tuned[name].weights for name in tunable(params)})


def with_weights(params: Params, weights: Mapping[str, Mapping[str, float]]) -> Params:
    """The tree with other weights of some methods."""
    changed = {
        name: params.methods[name].model_copy(update={"weights": dict(values)})
        for name, values in weights.items()
    }
    return params.model_copy(update={"methods": {**params.methods, **changed}})


def tunable(params: Params) -> list[str]:
    """The methods of the grid that have weights: all but the student alone."""
    return [name for name in params.grid.methods if params.methods[name].weights]


def tuned_methods(root: Path, params: Params) -> dict[str, Tuned]:
    """The entries behind the weights of ``chosen_params``: of the grid's methods, or none."""
    if params.weights == "given":
        return {}
    tuned = read_tuned(root, params.dataset)
    return {name: tuned[name] for name in tunable(params)}


def reaches_runs(tuned: Tuned) -> dict[str, Any]:
    """What of an entry a student and its description depend on."""
    return {"weights": tuned.weights, **tuned.provenance.model_dump(include={"trials", "seed", "student"})}


def weights_source(root: Path, params: Params, *, method: str, student: str) -> str | None:
    """Where the weights of a method come from, in words, for train.json and the tables; None without weights.

    ``tuned (7 trials on validation, seed 1000)``; ``published`` where they are those of the method's class
    up to rounding; else ``set by hand``.
    """
    from icsd.methods import METHODS, class_of  # imports torch

    block = params.methods[method].block
    weights: dict[str, float] = block["weights"]
    if not weights:
        return None
    if entry := tuned_methods(root, params).get(method):
        origin = entry.provenance
        other = "" if origin.student == student else f" of {origin.student}"
        return f"tuned ({origin.trials} trials{other} on validation, seed {origin.seed})"
    known = METHODS[class_of(method, block)]
    published = known.published if known else {}
    same = set(published) == set(weights) and all(
        math.isclose(weights[term], published[term], rel_tol=1e-3) for term in weights
    )
    return "published" if same else "set by hand"


def _missing(params: Params, tuned: dict[str, Tuned]) -> list[str]:
    names = [name for name in tunable(params) if name not in tuned]
    if not names:
        return []
    command = f"python -m pipeline tune {' '.join(names)}"
    return [f"not tuned yet: {', '.join(names)}; run `{command}`, or set weights: given"]


def _changed(params: Params, tuned: dict[str, Tuned]) -> list[str]:
    """Methods whose options or own weights are no longer those that the search began from."""
    return [
        f"methods.{name} in params.yaml was changed since it was tuned ({_first_difference(now, then)}): "
        f"set it back, or run `python -m pipeline tune {name}`"
        for name in tunable(params)
        if (now := params.methods[name].block) != (then := tuned[name].block)
    ]


def _first_difference(now: dict[str, Any], then: dict[str, Any]) -> str:
    key = next(key for key in {**now, **then} if now.get(key) != then.get(key))
    return f"{key}: {then.get(key)} then, {now.get(key)} now"


def _unequal(params: Params, tuned: dict[str, Tuned]) -> list[str]:
    """What a fair comparison forbids: other searches for other methods, or a seed that is reported."""
    names = tunable(params)
    problems = []
    for key in _BUDGET:
        values = {name: getattr(tuned[name].provenance, key) for name in names}
        if len(set(values.values())) > 1:
            shown = ", ".join(f"{name} {_short(value)}" for name, value in values.items())
            problems.append(f"{key} differs among the methods ({shown}): tune them all with one command")
    seeds = {tuned[name].provenance.seed for name in names} & set(params.grid.seeds)
    if seeds:
        problems.append(f"grid.seeds: {min(seeds)} is the seed that the weights were tuned with; take others")
    return problems


def _short(value: object) -> str:
    return str(value)[:12]
