"""The weights that students are trained with: those of the methods' blocks, or tuned ones.

``weights: tuned`` in params.yaml replaces the blocks' own weights, for all methods of the grid or for none:
comparing tuned with untuned methods would compare the tuning.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from icsd.errors import UserError
from icsd.params import Params
from icsd.stages.tuned_weights import Tuned, read_tuned, tuned_path

_BUDGET = ("student", "seed", "epochs", "trials", "range", "data_sha256", "teacher_sha256")
"""What must be the same for all methods in a fair search."""


def chosen_params(root: Path, params: Params) -> Params:
    """The parameter tree, with tuned weights if it says ``weights: tuned``.

    Raises:
        UserError: Tuned weights are missing, outdated or not comparable.
    """
    if params.weights != "tuned":
        return params
    tuned = read_tuned(root, params.dataset)
    problems = _missing(params, tuned) or [*_changed(params, tuned), *_unequal(params, tuned)]
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems)
        raise UserError(f"weights: tuned, with {tuned_path(params.dataset)}:\n{lines}")
    return with_weights(params, {name: tuned[name].weights for name in tunable(params)})


def with_weights(params: Params, weights: Mapping[str, Mapping[str, float]]) -> Params:
    """The parameter tree with the weights of some methods replaced."""
    changed = {
        name: params.methods[name].model_copy(update={"weights": dict(values)})
        for name, values in weights.items()
    }
    return params.model_copy(update={"methods": {**params.methods, **changed}})


def tunable(params: Params) -> list[str]:
    """The methods of the grid that have weights: all but the student alone."""
    return [name for name in params.grid.methods if params.methods[name].weights]


def tuned_methods(root: Path, params: Params) -> dict[str, Tuned]:
    """Method -> its entry in the file of tuned weights; empty unless params.yaml says ``weights: tuned``."""
    if params.weights != "tuned":
        return {}
    tuned = read_tuned(root, params.dataset)
    return {name: tuned[name] for name in tunable(params)}


def weights_source(root: Path, params: Params, *, method: str, student: str) -> str | None:
    """Where the weights of a method come from, in words, for train.json and the tables; None without weights.

    ``tuned (7 trials on validation, seed 1000)``; ``published`` if they are those of the method's class, up
    to rounding; otherwise ``set by hand``.
    """
    from icsd.methods import METHODS, class_of  # imports torch

    block = params.methods[method].block
    weights: dict[str, float] = block["weights"]
    if not weights:
        return None
    if entry := tuned_methods(root, params).get(method):
        search = entry.search
        other = "" if search.student == student else f" of {search.student}"
        return f"tuned ({search.trials} trials{other} on validation, seed {search.seed})"
    cls = METHODS[class_of(method, block)]
    published = cls.published if cls else {}
    same = set(published) == set(weights) and all(
        math.isclose(weights[term], published[term], rel_tol=1e-3) for term in weights
    )
    return "published" if same else "set by hand"


def _missing(params: Params, tuned: Mapping[str, Tuned]) -> list[str]:
    names = [name for name in tunable(params) if name not in tuned]
    if not names:
        return []
    command = f"python -m pipeline tune {' '.join(names)}"
    return [f"not tuned yet: {', '.join(names)}; run `{command}`, or set weights: untuned"]


def _changed(params: Params, tuned: Mapping[str, Tuned]) -> list[str]:
    """One line per method whose block has changed since it was tuned."""
    return [
        f"methods.{name} in params.yaml was changed since it was tuned ({_first_difference(now, then)}): "
        f"change it back, or run `python -m pipeline tune {name}`"
        for name in tunable(params)
        if (now := params.methods[name].block) != (then := tuned[name].block)
    ]


def _first_difference(now: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    key = next(key for key in {**now, **then} if now.get(key) != then.get(key))
    return f"{key}: {then.get(key)} then, {now.get(key)} now"


def _unequal(params: Params, tuned: Mapping[str, Tuned]) -> list[str]:
    """Reasons why a comparison would be unfair: unequal searches, or a tuning seed that is in the grid."""
    names = tunable(params)
    problems = []
    for key in _BUDGET:
        values = {name: getattr(tuned[name].search, key) for name in names}
        if len(set(values.values())) > 1:
            each = ", ".join(f"{name} {str(value)[:12]}" for name, value in values.items())
            problems.append(f"{key} differs among the methods ({each}): tune them all with one command")
    seeds = {tuned[name].search.seed for name in names} & set(params.grid.seeds)
    if seeds:
        problems.append(
            f"grid.seeds: {min(seeds)} is the seed that the weights were tuned with; choose others"
        )
    return problems
