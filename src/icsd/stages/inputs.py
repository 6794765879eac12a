"""What every stage is given: the values that can change its result, as they are used.

``validate`` writes one file per stage, and dvc.yaml makes the stage depend on that file. Where a value comes
from is not in it: params.yaml may repeat what the preset says, and nothing becomes stale.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from icsd.core.weighting import Alw
from icsd.params import Params
from icsd.runs import RunKey
from icsd.stages.grid import teacher_key

Values = dict[str, Any]


def schedule_of(params: Params, key: RunKey) -> Alw | None:
    """The schedule of a network's weights; None for a method without ALW, and for the teacher."""
    if key.is_teacher:
        return None
    schedule = params.methods[key.method].schedule(params.alw)
    return Alw(**schedule.model_dump()) if schedule else None


def numbers_of(params: Params, key: RunKey) -> Values:
    """The parameters that determine a network, as train.json holds them."""
    networks = params.networks
    network = networks.teacher if key.is_teacher else networks.students[cast(Any, key.network)]
    training = params.teacher if key.is_teacher else params.train
    numbers: Values = {
        "dataset": params.dataset,
        "data": params.data.model_dump(exclude={"source", "sources"}),
        "images": params.images.model_dump(),
        "network": {
            "backbone": key.network,
            "width": network.width,
            "output_stride": networks.output_stride,
            "dropout": networks.dropout,
            "pretrained": networks.pretrained,
        },
        "training": training.model_dump(),
        "seed": key.seed,
    }
    schedule = schedule_of(params, key)
    if not key.is_teacher:
        numbers["method"] = {**params.methods[key.method].block, "alw": schedule is not None}
    if schedule:
        numbers["alw"] = schedule.as_dict()
    return numbers


def inputs_of_stages(params: Params, *, of_methods: Mapping[str, Values]) -> dict[Path, Values]:
    """The file of every stage, relative to the folder of validated parameters -> its content.

    Args:
        params: The whole tree.
        of_methods: What else determines the students of a method: digests of its source files, its tuning.
    """
    data, grid = params.data, params.grid
    dataset = {"dataset": params.dataset}
    evaluation = dataset | {
        "evaluation": params.evaluation.model_dump(),
        "input_scale": params.images.input_scale,
    }
    files = {
        "download": dataset | data.model_dump(include={"reader", "source", "sources"}),
        "preprocess": dataset | data.model_dump(exclude={"source", "sources"}),
        "teacher": {"numbers": numbers_of(params, teacher_key(params))},
        "evaluate_teacher": evaluation,
        "evaluate_students": evaluation | {"students": grid.students, "seeds": grid.seeds},
        "report": dataset | {"grid": grid.model_dump(), "report": params.report.model_dump()},
    }
    for method in grid.methods:
        for student in grid.students:
            # The seed is no part of it: it is in the stage's command.
            numbers = numbers_of(params, RunKey(params.dataset, method, student, seed=0))
            del numbers["seed"]
            files[f"students/{method}/{student}"] = {"numbers": numbers, **of_methods[method]}
    return {Path(f"{name}.json"): content for name, content in files.items()}
