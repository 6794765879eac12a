"""The inputs of every stage: the resolved values that can change its result.

``validate`` writes one file per stage, and dvc.yaml makes the stage depend on that file. The file does not
say where a value comes from, so repeating a preset's value in params.yaml makes nothing stale.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from icsd.core.weighting import Alw
from icsd.params import Network, PacedTraining, Params
from icsd.runs import TEACHER, RunKey
from icsd.stages.grid import teacher_key
from icsd.stages.initial_weights import name_of, source_of
from icsd.stages.networks import network_of, numbers_of_network
from icsd.stages.paces import with_pace

Values = dict[str, Any]
_UNUSED: Mapping[str, set[str]] = {"sgd": set(), "adamw": {"momentum", "nesterov"}}
"""Optimiser -> settings that it does not read, and that therefore determine nothing."""


def schedule_of(params: Params, key: RunKey) -> Alw | None:
    """The schedule of a network's weights; None for a method without ALW, and for the teacher."""
    if key.is_teacher:
        return None
    schedule = params.methods[key.method].schedule(params.alw)
    return Alw(**schedule.model_dump()) if schedule else None


def trains(params: Params, key: RunKey) -> bool:
    """Whether a network is trained here, rather than loaded as it was trained elsewhere."""
    return not key.is_teacher or params.teacher.train


def numbers_of(params: Params, key: RunKey) -> Values:
    """The parameters that determine a network, as train.json holds them."""
    training = params.teacher if key.is_teacher else params.train
    # ``budget`` determines a network only if the network's number of epochs was derived from it.
    unused = _UNUSED[training.optimizer] | (set() if isinstance(training, PacedTraining) else {"budget"})
    network = network_of(params, key)
    numbers: Values = {
        "dataset": params.dataset,
        "data": params.data.model_dump(exclude={"source", "sources"}),
        "images": params.images.model_dump(),
        "network": {
            **numbers_of_network(params, key),
            "pretrained": name_of(source_of(params, key)),
            **(_own_weights(network) if network.weights else {}),
        },
        "training": training.model_dump(exclude=unused) if trains(params, key) else {"train": False},
        "seed": key.seed,
    }
    schedule = schedule_of(params, key)
    if not key.is_teacher:
        numbers["method"] = {**params.methods[key.method].block, "alw": schedule is not None}
    if schedule:
        numbers["alw"] = schedule.as_dict()
    return numbers


def _own_weights(network: Network) -> Values:
    own = network.model_dump(include={"weights", "load", "classes"}, exclude_none=True)
    return own | {"weights": name_of(own["weights"])}


def inputs_of_stages(
    params: Params,
    *,
    of_methods: Mapping[str, Values],
    initial_weights: Mapping[str, str | None],
    of_networks: Mapping[str, Mapping[str, str]],
    own_weights: Mapping[str, str | None] = MappingProxyType({}),
    paces: Mapping[tuple[str, str], float] = MappingProxyType({}),
) -> dict[Path, Values]:
    """The file of every stage, relative to the folder of validated parameters -> its content.

    Args:
        params: The whole parameter tree.
        of_methods: Method -> what else determines its students: digests of its source files, its tuning.
        initial_weights: ``teacher`` or a student's name -> digest of the file that it starts from; None
            without one.
        of_networks: The same names -> digests of the files that define the network, by file name.
        own_weights: The same names -> digest of the file that the whole network is loaded from; None, or no
            entry, without one.
        paces: Method and student -> its pace, under ``train.budget: seconds``.
    """
    data, grid = params.data, params.grid
    loaded = {
        name: {"own_weights": digest} if (digest := own_weights.get(name)) else {} for name in initial_weights
    }
    dataset = {"dataset": params.dataset}
    evaluation = dataset | {
        "evaluation": params.evaluation.model_dump(),
        "input_scale": params.images.input_scale,
    }
    files = {
        "download": dataset | data.model_dump(include={"reader", "source", "sources", "folder"}),
        "preprocess": dataset | data.model_dump(exclude={"source", "sources"}),
        "teacher": {
            "numbers": numbers_of(params, teacher_key(params)),
            "initial_weights": initial_weights[TEACHER],
            **loaded[TEACHER],
            **_files(of_networks.get(TEACHER)),
        },
        "evaluate_teacher": evaluation,
        "evaluate_students": evaluation | {"students": grid.students, "seeds": grid.seeds},
        "deploy": dataset | _of_deploy(params),
        "report": dataset | {"grid": grid.model_dump(), "report": params.report.model_dump()},
    }
    for method in grid.methods:
        for student in grid.students:
            # The file has no seed: the seed is in the stage's command.
            own = with_pace(params, paces.get((method, student)))
            numbers = numbers_of(own, RunKey(params.dataset, method, student, seed=0))
            del numbers["seed"]
            files[f"students/{method}/{student}"] = {
                "numbers": numbers,
                "initial_weights": initial_weights[student],
                **loaded[student],
                **_files(of_networks.get(student)),
                **of_methods[method],
            }
    return {Path(f"{name}.json"): content for name, content in files.items()}


def _of_deploy(params: Params) -> Values:
    """The block ``deploy`` and, if it asks for files, the parameters that decide the champions."""
    block = {"deploy": params.deploy.model_dump()}
    if not params.deploy.formats:
        return block
    tests = params.report.model_dump(include={"resamples", "seed", "clips"})
    return block | {"grid": params.grid.model_dump(), "report": tests}


def _files(digests: Mapping[str, str] | None) -> Values:
    return {"network_files": dict(digests)} if digests else {}
